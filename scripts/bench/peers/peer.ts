/**
 * BENCH_REDIS_ADDR, BENCH_REDIS_PASSWORD, BENCH_POSTGRES_DSN, and a library set up to do the service's work → one line
 * `ready` on standard output when it is about to read, then the work until SIGTERM, then exit code 0.
 *
 * A batch is accepted for good before the next one is read; nothing else goes to standard output.
 */
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { CHANNELS, type Delivery, type Intent, publish, readIntents } from "./intents.ts";

/** Between two looks at what waits. */
const PAUSE_MS = 1;

export interface Settings {
  readonly redis: { readonly host: string; readonly port: number; readonly password: string };
  readonly postgresDsn: string;
}

/** Appends a delivery to its stream; what one turn of the event loop sends goes as one pipeline. */
export type Publish = (delivery: Delivery) => Promise<void>;

export interface Peer {
  /** Returns when the intents' jobs are kept. */
  accept(intents: readonly Intent[]): Promise<void>;
  /** Finishes the jobs in hand. */
  close(): Promise<void>;
}

/**
 * @param mostWaiting so many deliveries may wait before no more intents are read: the queues get slower as they get
 *   longer. Every intent's key has to be another, as fill.ts makes them: a delivery that is never made is waited for.
 */
export async function runPeer(
  { mostWaiting }: { mostWaiting: number },
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
    while (waiting > mostWaiting && !stop.signal.aborted) await delay(PAUSE_MS);
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
