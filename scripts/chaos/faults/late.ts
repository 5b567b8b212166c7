/**
 * What the consuming instance has sent arrives long after it gave up waiting, and after another instance has done the
 * work: a script call with entries to append, a statement of PostgreSQL.
 */
import { type Fault, type Injection, pause, type Scene } from "../fault.ts";
import { consumes, joinReady, wayToPostgres, wayToRedis } from "../own_way.ts";
import { TcpProxy } from "../tcp_proxy.ts";

const HOLDS_WITHIN_SECONDS = 10;
/**
 * Names of prepared statements: what is accepted, claimed and written. A batch that is not all new takes a transaction.
 */
const STATEMENTS = ["insert_intents", "claim_due", "write_published", "COMMIT"] as const;

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
        env: wayToRedis,
      }),
  },
  {
    name: "late-statement",
    summary: "one instance's statement or COMMIT reaches PostgreSQL when it has given up, or never",
    part: "instances",
    instances: [1, 2],
    isAlwaysAlone: true,
    isLong: true,
    inject: (scene) =>
      holdBack(scene, {
        port: scene.setting.postgresServer.port,
        seconds: scene.chance.oneIn(3) ? scene.chance.between(10.5, 12) : scene.chance.between(2.5, 8),
        text: scene.chance.pick(STATEMENTS),
        env: (proxy) => wayToPostgres(proxy, scene.setting),
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
  const instance = await joinReady(scene, env(proxy));
  await consumes(instance, scene);
  await pause(chance.between(0, 0.3));
  const isHeld = await proxy.freezeAt((bytes) => bytes.includes(text), HOLDS_WITHIN_SECONDS) !== undefined;
  if (isHeld) await pause(seconds);
  proxy.thaw({ lose: false });
  await pause(0.2); // it arrives
  await fleet.leave(instance);
  return {
    times: isHeld ? 1 : 0,
    note: `${text} ${isHeld ? `held back for ${seconds.toFixed(1)} s` : "never sent"}`,
  };
}
