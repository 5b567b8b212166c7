/**
 * The scene → one more instance that reaches Redis or PostgreSQL through its own proxy, so that what this instance
 * sends can be held back.
 */
import { consumerLeaseKey } from "../../src/redis/keys.ts";
import { eventually } from "../../tests/support/wait.ts";
import type { Scene } from "./fault.ts";
import type { Instance } from "./fleet.ts";
import { type Setting, STREAMS } from "./setting.ts";
import type { TcpProxy } from "./tcp_proxy.ts";

const CONSUME_TIMEOUT_MS = 20_000;

/** The environment variable that makes an instance connect to Redis through the proxy. */
export function redisThrough(proxy: TcpProxy): Readonly<Record<string, string>> {
  return { NOTIFICATION_REDIS_MASTER_ADDR: `127.0.0.1:${proxy.port}` };
}

/** The environment variable that makes an instance connect to PostgreSQL through the proxy. */
export function postgresThrough(proxy: TcpProxy, setting: Setting): Readonly<Record<string, string>> {
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

/** Deletes the consumer lease until the instance holds it. From then on, the instance publishes what it accepts. */
export async function makeConsumer(instance: Instance, { fleet, setting }: Scene): Promise<void> {
  await eventually(async () => {
    if (await fleet.consuming() === instance) return true;
    await setting.redis.del(consumerLeaseKey(STREAMS.intents));
    return false;
  }, { timeoutMs: CONSUME_TIMEOUT_MS, intervalMs: 200, message: `${instance.name} never consumed` });
}
