/**
 * The scene → one more instance whose way to Redis or PostgreSQL is a proxy of its own, so that what it alone sends can
 * be held back.
 */
import { consumerLeaseKey } from "../../src/redis/keys.ts";
import { eventually } from "../../tests/support/wait.ts";
import type { Scene } from "./fault.ts";
import type { Instance } from "./fleet.ts";
import { type Setting, STREAMS } from "./setting.ts";
import type { TcpProxy } from "./tcp_proxy.ts";

const CONSUMES_WITHIN_MS = 20_000;

/** The variable that leads an instance to Redis through the proxy. */
export function wayToRedis(proxy: TcpProxy): Readonly<Record<string, string>> {
  return { NOTIFICATION_REDIS_MASTER_ADDR: `127.0.0.1:${proxy.port}` };
}

/** The variable that leads an instance to PostgreSQL through the proxy. */
export function wayToPostgres(proxy: TcpProxy, setting: Setting): Readonly<Record<string, string>> {
  const dsn = new URL(setting.dsn);
  dsn.port = String(proxy.port);
  return { NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn.href };
}

/** Starts an instance with batches so small that nearly every moment falls between two of them. */
export async function joinReady({ fleet }: Scene, env: Readonly<Record<string, string>>): Promise<Instance> {
  const instance = await fleet.join("tiny", env);
  await instance.ready;
  return instance;
}

/** Takes the lease from the others until the instance has it: it then publishes what it accepts. */
export async function consumes(instance: Instance, { fleet, setting }: Scene): Promise<void> {
  await eventually(async () => {
    if (await fleet.consuming() === instance) return true;
    await setting.redis.del(consumerLeaseKey(STREAMS.intents));
    return false;
  }, { timeoutMs: CONSUMES_WITHIN_MS, intervalMs: 200, message: `${instance.name} never consumed` });
}
