/**
 * A claim is lost, or ends, while a hand-off or an outcome of its owner is held back. When it arrives late, it must
 * neither append an entry for a route that another instance has given up, nor give up a route that another instance has
 * published.
 *
 * Routes have one or two attempts here, so that another instance gives up the routes that it claims while a stream
 * refuses entries.
 */
import { IS_OF_INSTANCE } from "../fleet.ts";
import { eventually } from "../../../tests/support/wait.ts";
import type { Channel } from "../notification_model.ts";
import type { RefusalWindow } from "../facts.ts";
import { type Fault, type Injection, pause, type Scene } from "../fault.ts";
import { countStatus, type HeldRoute, publishedUnwritten, routesOfHandOff, routesOfStatement } from "../held_routes.ts";
import { joinReady, makeConsumer, postgresThrough, redisThrough } from "../proxied_instance.ts";
import { type Setting, STREAMS } from "../setting.ts";
import { putAside, putBack } from "../stream_aside.ts";
import { TcpProxy } from "../tcp_proxy.ts";

const HOLD_TIMEOUT_SECONDS = 10;
/** The life of a claim on due routes. When the hand-off is held back, slightly less than this is left. */
const CLAIM_SECONDS = 10;
/** How long the other instance may take to claim due routes and to write their outcomes. */
const OTHER_INSTANCE_TIMEOUT_MS = 6000;

const TWO_ATTEMPTS = { NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "2" };
const ONE_ATTEMPT = { NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "1", NOTIFICATION_EMAIL_RETRY_MAX_ATTEMPTS: "1" };

export const CLAIM_FAULTS: readonly Fault[] = [
  {
    name: "claim-terminated",
    summary:
      "backends are terminated between claim and hand-off, which arrives in time, or after others gave the routes up",
    part: "instances",
    instances: [1, 2],
    env: TWO_ATTEMPTS,
    isAlwaysAlone: true,
    isLong: true,
    inject: terminateAfterClaim,
  },
  {
    name: "given-up-meanwhile",
    summary: "an instance is paused before its hand-off for longer than its claim, another gives up the last attempt",
    part: "instances",
    instances: [1, 2],
    env: ONE_ATTEMPT,
    isAlwaysAlone: true,
    inject: giveUpMeanwhile,
  },
  {
    name: "late-dead-letters",
    summary:
      "an instance's dead letters arrive after its claim ended and another published, but not yet wrote, the routes",
    part: "instances",
    // Only one other instance, so that no third one writes what it publishes.
    instances: [1, 1],
    env: ONE_ATTEMPT,
    isAlwaysAlone: true,
    inject: writeDeadLettersLate,
  },
];

async function terminateAfterClaim(scene: Scene): Promise<Injection> {
  const { setting, fleet, chance } = scene;
  const isInTime = chance.oneIn(2);
  await using refusal = new Refusal(setting, ["push"]);
  using proxy = new TcpProxy(setting.redisServer.port);
  const instance = await joinReady(scene, { ...TWO_ATTEMPTS, ...redisThrough(proxy) });
  // This instance must not consume, but claim: a route whose first attempt by another instance failed is due for all
  // instances.
  await eventually(async () => ![undefined, instance].includes(await fleet.consuming()), {
    message: "No other instance consumes",
  });
  const awaited = proxy.freezeAt(isPushHandOff, HOLD_TIMEOUT_SECONDS);
  await refusal.begin();
  const held = routesOfHandOff(await awaited ?? "");
  const heldAt = performance.now();
  const terminated = held.length === 0 ? 0 : await terminateBackends(setting, instance.name);
  let hits = 0;
  if (held.length > 0 && isInTime) {
    await pause(chance.between(1, 2.5)); // an instance that could claim the routes would give them up
    await refusal.end();
    await pause(chance.between(0, 4));
    proxy.thaw({ lose: false });
    await pause(0.2); // until the hand-off arrives
    hits = await publishedUnwritten(setting, held);
  } else if (held.length > 0) {
    await refusal.end();
    await pause(CLAIM_SECONDS - 1 - (performance.now() - heldAt) / 1000);
    await refusal.begin();
    hits = await countGivenUp(setting, held);
    await refusal.end();
    proxy.thaw({ lose: false });
    await pause(0.2);
  }
  await refusal.end();
  proxy.thaw({ lose: false });
  await fleet.leave(instance);
  const outcome = isInTime ? "published in time" : "given up before it arrived";
  return {
    times: terminated > 0 ? hits : 0,
    refusals: refusal.windows,
    note: `${terminated} backends, ${hits} of ${held.length} routes ${outcome}`,
  };
}

async function giveUpMeanwhile(scene: Scene): Promise<Injection> {
  const { setting, fleet, chance } = scene;
  const isStopped = chance.oneIn(2);
  await using refusal = new Refusal(setting, ["push"]);
  using proxy = new TcpProxy(setting.redisServer.port);
  const instance = await joinReady(scene, { ...ONE_ATTEMPT, ...redisThrough(proxy) });
  await makeConsumer(instance, scene);
  await pause(chance.between(0, 0.3));
  const held = routesOfHandOff(await proxy.freezeAt(isPushHandOff, HOLD_TIMEOUT_SECONDS) ?? "");
  if (isStopped) fleet.freeze(instance);
  let hits = 0;
  if (held.length > 0) {
    await refusal.begin();
    hits = await countGivenUp(setting, held);
    await refusal.end();
  }
  proxy.thaw({ lose: false });
  await pause(0.2); // until the hand-off arrives
  if (isStopped) fleet.thaw(instance);
  await fleet.leave(instance);
  return {
    times: hits,
    refusals: refusal.windows,
    note: `${hits} of ${held.length} routes given up before the hand-off arrived${isStopped ? ", SIGSTOP" : ""}`,
  };
}

async function writeDeadLettersLate(scene: Scene): Promise<Injection> {
  const { setting, fleet, chance } = scene;
  await using refusal = new Refusal(setting, ["push", "email"]);
  using proxy = new TcpProxy(setting.postgresServer.port);
  const instance = await joinReady(scene, { ...ONE_ATTEMPT, ...postgresThrough(proxy, setting) });
  await makeConsumer(instance, scene);
  await refusal.begin();
  await pause(chance.between(0.3, 0.6)); // until all outcomes are dead letters, which are written by one statement
  const held = routesOfStatement(await proxy.freezeAt(isStatement("write_dead_letters"), HOLD_TIMEOUT_SECONDS) ?? "");
  await refusal.end();
  let hits = 0;
  if (held.length > 0) {
    await setting.proxies.postgres.freezeAt(isStatement("write_published", held), OTHER_INSTANCE_TIMEOUT_MS / 1000);
    hits = await publishedUnwritten(setting, held);
  }
  proxy.thaw({ lose: false });
  await pause(0.3); // the dead letters arrive first
  setting.proxies.postgres.thaw({ lose: false });
  await fleet.leave(instance);
  return {
    times: hits,
    refusals: refusal.windows,
    note: `${hits} of ${held.length} routes published before their dead letters arrived`,
  };
}

function isPushHandOff(text: string): boolean {
  return text.includes("payload_bytes") && routesOfHandOff(text).length > 0;
}

/**
 * Returns a test of bytes: whether they are this statement with a complete list of routes, and contain one of `routes`
 * if given.
 */
function isStatement(statement: string, routes?: readonly HeldRoute[]): (text: string) => boolean {
  return (text) =>
    text.includes(statement) &&
    routesOfStatement(text).some((one) => {
      return routes === undefined ||
        routes.some(({ notificationId, routeId }) => {
          return notificationId === one.notificationId && routeId === one.routeId;
        });
    });
}

/** Waits until other instances have given up some of the routes, and returns how many they have given up. */
async function countGivenUp(setting: Setting, routes: readonly HeldRoute[]): Promise<number> {
  const count = () => countStatus(setting, routes, "dead_letter");
  await eventually(async () => await count() > 0, { timeoutMs: OTHER_INSTANCE_TIMEOUT_MS }).catch(() => {}); // the count is 0
  await pause(0.3); // the next batch may contain some more
  return await count();
}

async function terminateBackends(setting: Setting, instance: string): Promise<number> {
  const rows = await setting.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${IS_OF_INSTANCE}`,
    [instance],
  );
  return rows.length;
}

/**
 * Makes the outbound streams of these channels refuse every entry, and lists the periods in which they do. Disposal
 * ends the refusal.
 */
class Refusal implements AsyncDisposable {
  readonly windows: RefusalWindow[] = [];
  readonly #setting: Setting;
  readonly #channels: readonly Channel[];
  #fromMs: number | undefined;

  constructor(setting: Setting, channels: readonly Channel[]) {
    this.#setting = setting;
    this.#channels = channels;
  }

  async begin(): Promise<void> {
    this.#fromMs = Date.now();
    for (const channel of this.#channels) await putAside(this.#setting, STREAMS[channel]);
  }

  /** Does nothing if the streams accept entries. */
  async end(): Promise<void> {
    const fromMs = this.#fromMs;
    if (fromMs === undefined) return;
    this.#fromMs = undefined;
    for (const channel of this.#channels) await putBack(this.#setting, STREAMS[channel]);
    const toMs = Date.now() + 1;
    for (const channel of this.#channels) this.windows.push({ channel, fromMs, toMs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}
