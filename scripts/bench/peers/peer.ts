// In: BENCH_REDIS_ADDR, BENCH_REDIS_PASSWORD, BENCH_POSTGRES_DSN, and a library set up to do the service's work.
// Out: one line `ready` on standard output when it is about to read, then the work until SIGTERM, then exit code 0.
// Guaranteed: a batch is accepted for good before the next one is read; nothing else goes to standard output.

import { Redis } from "ioredis";
import { type Intent, readIntents } from "./intents.ts";

export interface Settings {
  readonly redis: { readonly host: string; readonly port: number; readonly password: string };
  readonly postgresDsn: string;
}

export interface Peer {
  /** Returns when the intents' jobs are kept. */
  accept(intents: readonly Intent[]): Promise<void>;
  /** Finishes the jobs in hand. */
  close(): Promise<void>;
}

/** `outbound` is for the jobs' XADDs: what one turn of the event loop sends goes as one pipeline. */
export async function runPeer(open: (settings: Settings, outbound: Redis) => Promise<Peer>): Promise<void> {
  const stop = new AbortController();
  const onSignal = () => stop.abort();
  Deno.addSignalListener("SIGTERM", onSignal);

  const settings = settingsFromEnvironment();
  const inbound = new Redis(settings.redis);
  const outbound = new Redis({ ...settings.redis, enableAutoPipelining: true });
  const peer = await open(settings, outbound);
  console.log("ready");
  for await (const intents of readIntents(inbound, stop.signal)) await peer.accept(intents);

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
