/**
 * BENCH_REDIS_ADDR, BENCH_REDIS_PASSWORD, BENCH_POSTGRES_DSN, and a library that does the service's work → the line
 * `ready` on standard output before the first read, then the work until SIGTERM, then exit code 0.
 *
 * A batch is durably accepted before the next one is read. Nothing else is written to standard output.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { CHANNELS, type Delivery, type Intent, publish, readIntents } from "./intents.ts";

/** The pause between two checks of the number of waiting deliveries. */
const PAUSE_MS = 1;

export interface Settings {
  readonly redis: { readonly host: string; readonly port: number; readonly password: string };
  readonly postgresDsn: string;
}

/** Appends a delivery to its stream. All commands of one turn of the event loop are sent as one pipeline. */
export type Publish = (delivery: Delivery) => Promise<void>;

export interface Peer {
  /** Resolves when the jobs of the intents are stored. */
  accept(intents: readonly Intent[]): Promise<void>;
  /** Finishes the jobs that are running. */
  close(): Promise<void>;
}

/**
 * @param maxWaiting at most this many deliveries may wait; then no intents are read, because longer queues are slower.
 *   All intents must have different keys, as those of `fill.ts`: a duplicate would count as a waiting delivery forever.
 */
export async function runPeer(
  { maxWaiting }: { maxWaiting: number },
  open: (settings: Settings, publish: Publish) => Promise<Peer>,
): Promise<void> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  Deno.addSignalListener("SIGTERM", onSignal);

  const settings = settingsFromEnvironment();
  const inbound = new Redis(settings.redis);
  const outbound = new Redis({ ...settings.redis, enableAutoPipelining: true });
  let waiting = 0;
  const peer = await open(settings, async (delivery) => {
    await publish(outbound, delivery);
    waiting--;
  });
  console.log("ready");
  for await (const intents of readIntents(inbound, stop.signal)) {
    while (waiting > maxWaiting && !stop.signal.aborted) await delay(PAUSE_MS);
    waiting += CHANNELS.length * intents.length;
    await peer.accept(intents);
  }

  await peer.close();
  await Promise.all([inbound.quit(), outbound.quit()]);
  Deno.removeSignalListener("SIGTERM", onSignal);
}

function settingsFromEnvironment(): Settings {
  const { hostname: host, port } = new URL(`redis://${variable("BENCH_REDIS_ADDR")}`);
  return {
    redis: { host, port: Number(port), password: variable("BENCH_REDIS_PASSWORD") },
    postgresDsn: variable("BENCH_POSTGRES_DSN"),
  };
}

function variable(name: string): string {
  const value = Deno.env.get(name);
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}
