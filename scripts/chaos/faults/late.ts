// What the consuming instance has sent arrives long after it gave up waiting, and after another instance has done the work: a
// script call with entries to append, a COMMIT.

import { eventually } from "../../../tests/support/wait.ts";
import { consumerLeaseKey } from "../../../src/redis/keys.ts";
import { type Fault, type Injection, pause, type Scene } from "../fault.ts";
import type { Instance } from "../fleet.ts";
import { STREAMS } from "../setting.ts";
import { TcpProxy } from "../tcp_proxy.ts";

/** Who consumes publishes what it accepts. */
const CONSUMES_WITHIN_MS = 20_000;
const HOLDS_WITHIN_SECONDS = 10;

export const LATE_FAULTS: readonly Fault[] = [
  {
    name: "late-hand-off",
    summary: "one instance's hand-off reaches Redis after its claim's life, when another has published the routes",
    part: "instances",
    instances: [1, 2],
    isAlwaysAlone: true,
    isLong: true,
    inject: (scene) =>
      holdBack(scene, {
        port: scene.setting.redisServer.port,
        // Past the life of the leases that the other instance leaves behind.
        seconds: scene.chance.between(13, 15),
        text: "payload_",
        env: (proxy) => ({ NOTIFICATION_REDIS_MASTER_ADDR: `127.0.0.1:${proxy.port}` }),
      }),
  },
  {
    name: "late-commit",
    summary: "one instance's COMMIT reaches PostgreSQL when it has given up, or never",
    part: "instances",
    instances: [1, 2],
    isAlwaysAlone: true,
    isLong: true,
    inject: (scene) =>
      holdBack(scene, {
        port: scene.setting.postgresServer.port,
        seconds: scene.chance.oneIn(3) ? scene.chance.between(10.5, 12) : scene.chance.between(2.5, 8),
        text: "COMMIT",
        env: (proxy) => {
          const dsn = new URL(scene.setting.dsn);
          dsn.port = String(proxy.port);
          return { NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn.href };
        },
      }),
  },
];

interface Held {
  readonly port: number;
  readonly seconds: number;
  /** What has to be among the bytes held back. */
  readonly text: string;
  readonly env: (proxy: TcpProxy) => Readonly<Record<string, string>>;
}

/** Adds an instance with a way of its own, and blocks that way at the moment when the text is on it. */
async function holdBack(scene: Scene, { port, seconds, text, env }: Held): Promise<Injection> {
  const { fleet, chance } = scene;
  using proxy = new TcpProxy(port);
  const instance = await fleet.join("tiny", env(proxy));
  await instance.ready;
  await consumes(instance, scene);
  await pause(chance.between(0, 0.3));
  const isHeld = await Promise.race([
    proxy.freezeAt(text).then(() => true),
    pause(HOLDS_WITHIN_SECONDS).then(() => false),
  ]);
  if (isHeld) await pause(seconds);
  proxy.thaw({ lose: false });
  await pause(0.2); // it arrives
  await fleet.leave(instance);
  return {
    times: isHeld ? 1 : 0,
    note: `${isHeld ? "held back" : "nothing to hold back"} for ${seconds.toFixed(1)} s`,
  };
}

/** Takes the lease from the others until the instance has it. */
async function consumes(instance: Instance, { fleet, setting }: Scene): Promise<void> {
  await eventually(async () => {
    if (await fleet.consuming() === instance) return true;
    await setting.redis.del(consumerLeaseKey(STREAMS.intents));
    return false;
  }, { timeoutMs: CONSUMES_WITHIN_MS, intervalMs: 200, message: `${instance.name} never consumed` });
}
