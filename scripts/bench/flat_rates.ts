/**
 * A database with rows → the rate at which the service publishes, accepts or deletes in this database.
 *
 * The start of the service is not measured, and the rows that it should have changed are counted afterwards.
 */
import { streamOffsetKey } from "../../src/redis/keys.ts";
import { INTENTS, OUTBOUND } from "./fill.ts";
import type { BenchProcess } from "./process.ts";
import type { Session } from "./session.ts";
import type { Setting } from "./setting.ts";
import { setTimeout as sleep } from "node:timers/promises";
import { hasLiveRoutes, release, stage } from "./timed_run.ts";

/** A database with the schema of the service, and its servers. */
export interface BenchDatabase {
  readonly session: Session;
  readonly setting: Setting;
  /** The number of the first record that does not exist yet. */
  nextRecord: number;
}

/** Numbers of rows: processed before the measurement, to warm up the process; measured; and left for after it. */
export interface Stretch {
  readonly leadIn: number;
  readonly timed: number;
  readonly slack: number;
}

export function lengthOf({ leadIn, timed, slack }: Stretch): number {
  return leadIn + timed + slack;
}

const POLL_MS = 5;
const LIMIT_MS = 120_000;
const COPY = streamOffsetKey(INTENTS);

/** Returns routes per second; with `all` publishes all routes and returns NaN. */
export async function publishRate({ session, setting }: BenchDatabase, stretch: Stretch | "all"): Promise<number> {
  const before = await countRoutes(setting);
  await setting.redis.flushdb();
  const sent = async () => {
    const lengths = await Promise.all(OUTBOUND.map((stream) => setting.redis.xlen(stream)));
    return lengths.reduce((sum, length) => sum + length, 0);
  };
  let rate = NaN;
  {
    await using process = await session.start("service", setting);
    if (stretch !== "all") rate = await rateOf(process, sent, stretch);
    else await process.until("all was published", async () => !await hasLiveRoutes(setting));
  }
  const after = await countRoutes(setting);
  check(session, "publishing", { found: before.live - after.live, expected: await sent() });
  return rate;
}

/** Returns intents per second. Each intent has one route, which is skipped, so that nothing is published meanwhile. */
export async function acceptRate(database: BenchDatabase, stretch: Stretch): Promise<number> {
  const { session, setting } = database;
  const count = lengthOf(stretch);
  const before = await countRecords(setting);
  await setting.redis.flushdb();
  await setting.pool.query(
    "DELETE FROM notification.stream_offsets WHERE stream NOT IN ('gateway:client-events', 'mail:delivery_commands')",
  );
  await stage(setting, { count, from: database.nextRecord, kind: "skipped" });
  database.nextRecord += count;
  let rate: number;
  {
    await using process = await session.start("service", setting);
    await release(setting);
    const read = async () => Number(await setting.redis.hget(COPY, "entries_read"));
    rate = await rateOf(process, read, stretch);
    await process.until("all was accepted", async () => await read() === count);
  }
  check(session, "accepting", { found: await countRecords(setting) - before, expected: count });
  return rate;
}

/**
 * Returns records per second, each with its route, that a service with this retention deletes in its first cleaning
 * run.
 */
export async function deleteRate(
  { session, setting }: BenchDatabase,
  { days, records }: { days: number; records: number },
): Promise<number> {
  const before = await countRecords(setting);
  await setting.redis.flushdb();
  let seconds: number;
  {
    await using process = await session.start("service", setting, { NOTIFICATION_RECORD_RETENTION: `${days * 24}h` });
    await process.until("it had cleaned", async () => await cleanerLine(process, "cleaned") !== undefined);
    const [started, cleaned] = [await cleanerLine(process, "started"), await cleanerLine(process, "cleaned")];
    seconds = (Date.parse(cleaned!.time) - Date.parse(started!.time)) / 1000;
  }
  check(session, "deleting", { found: before - await countRecords(setting), expected: records });
  return records / seconds;
}

async function rateOf(
  process: BenchProcess,
  count: () => Promise<number>,
  { leadIn, timed }: Stretch,
): Promise<number> {
  const deadline = performance.now() + LIMIT_MS;
  const reach = async (wanted: number) => {
    for (;;) {
      const reached = await count();
      if (reached >= wanted) return { reached, at: performance.now() };
      if (process.hasEnded || performance.now() > deadline) throw new Error(`Only ${reached} of ${wanted} were done`);
      await sleep(POLL_MS);
    }
  };
  const from = await reach(leadIn);
  const to = await reach(from.reached + timed);
  return (to.reached - from.reached) * 1000 / (to.at - from.at);
}

async function cleanerLine(process: BenchProcess, message: string): Promise<{ time: string } | undefined> {
  const found = await process.printed(new RegExp(`^.*"logger":"retention_cleaner","message":"${message}".*$`, "m"));
  return found === null ? undefined : JSON.parse(found[0]);
}

function check(session: Session, what: string, { found, expected }: { found: number; expected: number }): void {
  if (found !== expected) session.problems.push(`flatness, ${what}: ${found} rows instead of ${expected}`);
}

async function countRoutes({ pool }: Setting): Promise<{ live: number }> {
  const { rows } = await pool.query<{ live: number }>(
    "SELECT count(*)::int AS live FROM notification.routes WHERE next_attempt_at IS NOT NULL",
  );
  return rows[0]!;
}

async function countRecords({ pool }: Setting): Promise<number> {
  const { rows } = await pool.query<{ records: number }>("SELECT count(*)::int AS records FROM notification.records");
  return rows[0]!.records;
}
