/**
 * A rate and a number of intents → for each intent, the milliseconds from immediately before its XADD until this thread
 * has read its entries from the outbound streams or, for the bare hop, the intent itself from the intent stream.
 *
 * It ends when all entries are read, or ten seconds after the last intent was sent.
 */
import type { Redis } from "ioredis";
import { closeRedis, openRedis } from "../../tests/support/redis_client.ts";
import { INTENTS, OUTBOUND } from "./fill.ts";
import type { Assignment } from "./producer_worker.ts";
import type { Setting } from "./setting.ts";

/** After the last intent, the reader waits this long for the remaining entries. */
const LAST_ENTRIES_TIMEOUT_MS = 10_000;
const BLOCK_MS = 200;

/** Latencies in milliseconds, in no particular order. */
export interface Latencies {
  /** Intents sent. */
  readonly count: number;
  /** Until all entries of an intent were read. */
  readonly both: readonly number[];
  /** Empty for the bare hop. */
  readonly push: readonly number[];
  readonly email: readonly number[];
}

export async function sendAndWatch(
  setting: Setting,
  work: Omit<Assignment, "address">,
  { isBare }: { isBare: boolean },
): Promise<Latencies> {
  const { host, port, password } = setting.server;
  const redis = await openRedis(setting.server);
  const watched: Watched[] = [];
  for (const stream of isBare ? [INTENTS] : OUTBOUND) {
    watched.push({ stream, offset: await lastId(setting.redis, stream), seen: new Map() });
  }
  const worker = new Worker(new URL("./producer_worker.ts", import.meta.url), { type: "module" });
  let sentAt = Infinity;
  worker.onmessage = () => sentAt = performance.now();
  worker.postMessage({ ...work, address: { host, port, password } } satisfies Assignment);
  try {
    const isComplete = () => watched.every(({ seen }) => seen.size === work.count);
    while (!isComplete() && performance.now() - sentAt < LAST_ENTRIES_TIMEOUT_MS) await readOnce(redis, watched);
  } finally {
    worker.terminate();
    await closeRedis(redis);
  }
  const [first, second = first] = watched.map(({ seen }) => seen);
  const both = [...first!].flatMap(([id, milliseconds]) => {
    const other = second!.get(id);
    return other === undefined ? [] : [Math.max(milliseconds, other)];
  });
  const [push, email] = isBare ? [[], []] : [[...first!.values()], [...second!.values()]];
  return { count: work.count, both, push, email };
}

interface Watched {
  readonly stream: string;
  offset: string;
  /** Milliseconds by request id. */
  readonly seen: Map<string, number>;
}

async function readOnce(redis: Redis, watched: readonly Watched[]): Promise<void> {
  const streams = watched.map(({ stream }) => stream);
  const offsets = watched.map(({ offset }) => offset);
  const reply = await redis.xread("COUNT", 1000, "BLOCK", BLOCK_MS, "STREAMS", ...streams, ...offsets);
  const now = performance.timeOrigin + performance.now();
  for (const [name, entries] of reply ?? []) {
    const one = watched.find(({ stream }) => stream === name)!;
    for (const [id, fields] of entries) {
      const requestId = fields[fields.indexOf("request_id") + 1]!;
      one.seen.set(requestId, now - Number.parseInt(requestId) / 1000);
      one.offset = id;
    }
  }
}

async function lastId(redis: Redis, stream: string): Promise<string> {
  const [last] = await redis.xrevrange(stream, "+", "-", "COUNT", 1);
  return last?.[0] ?? "0-0";
}
