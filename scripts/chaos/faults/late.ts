/**
 * A script call or an SQL statement of the consuming instance arrives long after the instance gave up waiting, and
 * after another instance has done the work.
 */
import { type Fault, type Injection, pause, type Scene } from "../fault.ts";
import { joinReady, makeConsumer, postgresThrough, redisThrough } from "../proxied_instance.ts";
import { TcpProxy } from "../tcp_proxy.ts";

const HOLD_TIMEOUT_SECONDS = 10;
/**
 * Names of prepared statements that accept, claim and write. A batch with entries that are not new is a transaction,
 * and so needs a COMMIT.
 */
const STATEMENTS = ["insert_intents", "claim_due", "write_published", "COMMIT"] as const;

export const LATE_FAULTS: readonly Fault[] = [
  {
    name: "late-hand-off",
    summary: "an instance's hand-off reaches Redis after its claim ended and another instance published the routes",
    part: "instances",
    instances: [1, 2],
    isAlwaysAlone: true,
    isLong: true,
    inject: (scene) =>
      holdBack(scene, {
        port: scene.setting.redisServer.port,
        // Longer than the life of the leases of the routes that the other instance publishes meanwhile.
        seconds: scene.chance.between(13, 15),
        text: "payload_",
        env: redisThrough,
      }),
  },
  {
    name: "late-statement",
    summary: "an instance's statement or COMMIT reaches PostgreSQL after the instance gave up waiting",
    part: "instances",
    instances: [1, 2],
    isAlwaysAlone: true,
    isLong: true,
    inject: (scene) =>
      holdBack(scene, {
        port: scene.setting.postgresServer.port,
        seconds: scene.chance.oneIn(3) ? scene.chance.between(10.5, 12) : scene.chance.between(2.5, 8),
        text: scene.chance.pick(STATEMENTS),
        env: (proxy) => postgresThrough(proxy, scene.setting),
      }),
  },
];

interface HoldOptions {
  readonly port: number;
  readonly seconds: number;
  /** The proxy holds back the first bytes that contain this text. */
  readonly text: string;
  readonly env: (proxy: TcpProxy) => Readonly<Record<string, string>>;
}

/** Adds an instance with its own proxy, and freezes the proxy when the instance sends the text. */
async function holdBack(scene: Scene, { port, seconds, text, env }: HoldOptions): Promise<Injection> {
  const { fleet, chance } = scene;
  using proxy = new TcpProxy(port);
  const instance = await joinReady(scene, env(proxy));
  await makeConsumer(instance, scene);
  await pause(chance.between(0, 0.3));
  const isHeld = await proxy.freezeAt((bytes) => bytes.includes(text), HOLD_TIMEOUT_SECONDS) !== undefined;
  if (isHeld) await pause(seconds);
  proxy.thaw({ lose: false });
  await pause(0.2); // until the held bytes arrive
  await fleet.leave(instance);
  return {
    times: isHeld ? 1 : 0,
    note: `${text} ${isHeld ? `held back for ${seconds.toFixed(1)} s` : "never sent"}`,
  };
}
