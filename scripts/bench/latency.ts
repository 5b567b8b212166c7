// In: a session. Out: at each rate, how long after the start of an intent's XADD a reader of the outbound streams has
// seen its entries: service and peers, each on its own servers.
// Guaranteed: the producer has a thread of its own, the reader this one, with nothing else to do; a process is warmed up
// first; the next rate begins when the streams are at rest. Users come as they are cached: a thousand, for five seconds.

import type { Redis } from "ioredis";
import { closeRedis, openRedis } from "../../tests/support/redis_client.ts";
import { OUTBOUND } from "./fill.ts";
import type { Assignment } from "./producer_worker.ts";
import type { Latency } from "./results.ts";
import type { Session } from "./session.ts";
import type { Setting } from "./setting.ts";
import { distributionOf } from "./statistics.ts";
import { isService, missing, PEERS, type Subject, TITLES } from "./subjects.ts";

export const RATES = [10, 100, 1000, 3000] as const;
const LATENCY_SUBJECTS: readonly Subject[] = ["service", ...PEERS];

const FULL = { seconds: 10, warmUp: { rate: 1000, count: 3000 } };
const QUICK = { seconds: 1.5, warmUp: { rate: 1000, count: 700 } };
/** From this rate on there are samples enough in half the time. */
const HIGH_RATE = 1000;
/** How long after the last intent the reader waits for the rest. */
const PATIENCE_MS = 10_000;
const BLOCK_MS = 200;

export async function measureLatency(session: Session): Promise<Latency[]> {
  const { seconds: full, warmUp } = session.isQuick ? QUICK : FULL;
  const found: Latency[] = [];
  for (const subject of LATENCY_SUBJECTS.filter((subject) => missing(subject) === undefined)) {
    session.progress(`${TITLES[subject]}: warming up`);
    await using setting = await session.setting();
    await using _process = await session.start(subject, setting);
    await sendAndWatch(setting, { ...warmUp, prefix: "warm" });
    for (const rate of RATES) {
      const seconds = rate >= HIGH_RATE ? full / 2 : full;
      session.progress(`${TITLES[subject]}: ${rate.toLocaleString("en")} intents a second for ${seconds} s`);
      const latency = summarise(
        subject,
        rate,
        await sendAndWatch(setting, { rate, count: rate * seconds, prefix: `r${rate}` }),
      );
      found.push(latency);
      if (latency.undelivered > 0 && isService(subject)) {
        session.problems.push(
          `latency of ${subject} at ${rate} a second: ${latency.undelivered} intents did not come out`,
        );
      }
      // It would only get later.
      if (latency.undelivered > 0) break;
    }
  }
  return found;
}

/** Milliseconds by request id, for each outbound stream. */
interface Seen {
  readonly count: number;
  readonly push: ReadonlyMap<string, number>;
  readonly email: ReadonlyMap<string, number>;
}

async function sendAndWatch(setting: Setting, work: Omit<Assignment, "address">): Promise<Seen> {
  const { host, port, password } = setting.server;
  const redis = await openRedis(setting.server);
  const places = await Promise.all(OUTBOUND.map((stream) => lastId(setting.redis, stream)));
  const worker = new Worker(new URL("./producer_worker.ts", import.meta.url), { type: "module" });
  let sentAt = Infinity;
  worker.onmessage = () => sentAt = performance.now();
  worker.postMessage({ ...work, address: { host, port, password } } satisfies Assignment);
  try {
    const maps = [new Map<string, number>(), new Map<string, number>()];
    const isComplete = () => maps.every(({ size }) => size === work.count);
    while (!isComplete() && performance.now() - sentAt < PATIENCE_MS) await readOnce(redis, places, maps);
    return { count: work.count, push: maps[0]!, email: maps[1]! };
  } finally {
    worker.terminate();
    await closeRedis(redis);
  }
}

async function readOnce(redis: Redis, places: string[], maps: readonly Map<string, number>[]): Promise<void> {
  const reply = await redis.xread("COUNT", 1000, "BLOCK", BLOCK_MS, "STREAMS", ...OUTBOUND, ...places);
  const now = performance.timeOrigin + performance.now();
  for (const [stream, entries] of reply ?? []) {
    const at = OUTBOUND.findIndex((name) => name === stream);
    for (const [id, fields] of entries) {
      const requestId = fields[fields.indexOf("request_id") + 1]!;
      maps[at]!.set(requestId, now - Number.parseInt(requestId) / 1000);
      places[at] = id;
    }
  }
}

function summarise(subject: Subject, rate: number, { count, push, email }: Seen): Latency {
  const both = [...push].flatMap(([id, milliseconds]) => {
    const other = email.get(id);
    return other === undefined ? [] : [Math.max(milliseconds, other)];
  });
  const late = (values: number[]) => [...values, ...Array<number>(count - values.length).fill(Infinity)];
  return {
    subject,
    rate,
    samples: count,
    undelivered: count - both.length,
    both: distributionOf(late(both)),
    push: distributionOf(late([...push.values()])),
    email: distributionOf(late([...email.values()])),
  };
}

async function lastId(redis: Redis, stream: string): Promise<string> {
  const [last] = await redis.xrevrange(stream, "+", "-", "COUNT", 1);
  return last?.[0] ?? "0-0";
}
