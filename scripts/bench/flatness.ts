/**
 * A session → the rates at which the service publishes with more and more live routes and with many terminal ones,
 * accepts with many records, and deletes old records; each also while a transaction holds an old snapshot.
 *
 * A rate is measured in the middle of the work, when the process is warm. Rounds are interleaved, so that a slow minute
 * of the machine affects one round of several sizes, not all rounds of one size. Before each measurement, the tables
 * are vacuumed and a checkpoint is made. The rows are counted before and after.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { acceptRate, type BenchDatabase, deleteRate, lengthOf, publishRate } from "./flat_rates.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import type { Flat, Flatness } from "./results.ts";
import type { Session } from "./session.ts";
import { addRows, LARGE, vacuum } from "./tables.ts";

const FULL = {
  rounds: 3,
  live: [10_000, 100_000, 1_000_000, 3_000_000],
  published: { leadIn: 20_000, timed: 40_000, slack: 15_000 },
  records: 5_000_000,
  accepted: { leadIn: 10_000, timed: 30_000, slack: 2000 },
  deleted: 200_000,
};
const QUICK: typeof FULL = {
  rounds: 1,
  live: [10_000, 50_000],
  published: { leadIn: 4000, timed: 10_000, slack: 10_000 },
  records: 120_000,
  accepted: { leadIn: 4000, timed: 6000, slack: 2000 },
  deleted: 10_000,
};

/** A rate and the functions that measure it. */
interface Measurement {
  readonly database: BenchDatabase;
  readonly size: string;
  readonly prepare?: () => Promise<void>;
  readonly measure: () => Promise<number>;
}

export async function measureFlatness(session: Session): Promise<Flatness> {
  const { rounds, live, published, records, accepted, deleted } = sizesOf(session);
  await using stack = new AsyncDisposableStack();
  const open = async () => stack.use(await openDatabase(session));
  const databases = [];
  for (const size of live) databases.push({ size, database: await open() });
  const [few, many] = [await open(), await open()];
  await addTerminalRoutes(many);

  const publishing = (database: BenchDatabase, left: number) => ({
    database,
    prepare: () => topUp(database, left + lengthOf(published)),
    measure: () => publishRate(database, published),
  });
  const publish = await inRounds(rounds, [
    ...databases.map(({ size, database }): Measurement => {
      const measurement = { ...publishing(database, size), size: `${thousands(size)} live routes` };
      if (size >= LARGE) return measurement;
      // A small table is made again for each round; otherwise most of its rows would soon be published ones.
      return { ...measurement, prepare: () => removeAll(database).then(measurement.prepare) };
    }),
    {
      ...publishing(many, live[0]!),
      size: `${thousands(live[0]!)} live, ${thousands(records)} terminal routes`,
    },
  ]);

  session.progress("publishing the remaining routes");
  await publishRate(many, "all");
  const manyRecords = `${thousands(records)} records`;
  const accept = await inRounds(rounds, [
    {
      database: few,
      size: "few records",
      prepare: () => removeAll(few),
      measure: () => acceptRate(few, accepted),
    },
    { database: many, size: manyRecords, measure: () => acceptRate(many, accepted) },
  ]);

  const days = [17, 10]; // one for each of the two measurements, which each delete one group of old records
  const retention = await inRounds(1, [{
    database: many,
    size: manyRecords,
    measure: () => deleteRate(many, { days: days.shift()!, records: deleted }),
  }]);
  return { publish, accept, retention };
}

/** Adds records with published routes. Two groups of them are old enough to be deleted. */
async function addTerminalRoutes(database: BenchDatabase): Promise<void> {
  const { records, deleted } = sizesOf(database.session);
  database.session.progress(`making ${thousands(records)} records with terminal routes`);
  const oldest = [20, 15].map((daysAgo, lot) => ({ from: lot * deleted, records: deleted, daysAgo }));
  const rest = { from: 2 * deleted, records: records - 2 * deleted, daysAgo: 3 };
  for (const rows of [...oldest, rest]) await addRows(database.setting.pool, { ...rows, routes: "published" });
  database.nextRecord = records;
}

/** Runs each measurement in every round, without and with a transaction that holds an old snapshot. */
async function inRounds(rounds: number, measurements: readonly Measurement[]): Promise<Flat[]> {
  const found = measurements.map(({ size }) => ({ size, rates: [] as number[], underSnapshot: [] as number[] }));
  for (let round = 1; round <= rounds; round++) {
    const order = [...measurements.entries()];
    for (const [index, { database, size, prepare, measure }] of round % 2 === 1 ? order : order.toReversed()) {
      const what = rounds === 1 ? size : `round ${round} of ${rounds}: ${size}`;
      database.session.progress(what);
      await prepare?.();
      await settle(database);
      found[index]!.rates.push(await measure());
      database.session.progress(`${what}, under an old snapshot`);
      await prepare?.();
      await settle(database);
      found[index]!.underSnapshot.push(await underOldSnapshot(database, measure));
      await settle(database); // so that it does not happen during the next measurement
    }
  }
  return found;
}

async function underOldSnapshot({ setting }: BenchDatabase, measure: () => Promise<number>): Promise<number> {
  const holder = new pg.Client({ connectionString: setting.dsn });
  await holder.connect();
  try {
    await holder.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await holder.query("SELECT 1"); // takes the snapshot
    return await measure();
  } finally {
    await holder.end();
  }
}

async function settle({ setting: { pool } }: BenchDatabase): Promise<void> {
  await vacuum(pool);
  await pool.query("CHECKPOINT");
}

async function removeAll({ setting }: BenchDatabase): Promise<void> {
  await setting.pool.query("TRUNCATE notification.records, notification.routes");
}

/** Adds live routes until there are `wanted`. */
async function topUp(database: BenchDatabase, wanted: number): Promise<void> {
  const { rows } = await database.setting.pool.query<{ live: number }>(
    "SELECT count(*)::int AS live FROM notification.routes WHERE next_attempt_at IS NOT NULL",
  );
  const records = Math.ceil((wanted - rows[0]!.live) / 2);
  if (records <= 0) return;
  await addRows(database.setting.pool, { from: database.nextRecord, records, routes: "live", daysAgo: 2 });
  database.nextRecord += records;
}

async function openDatabase(session: Session): Promise<BenchDatabase & AsyncDisposable> {
  const setting = await session.setting();
  await migrate(setting.pool, { lockTimeoutMs: 10_000 });
  return { session, setting, nextRecord: 0, [Symbol.asyncDispose]: () => setting[Symbol.asyncDispose]() };
}

function sizesOf({ isQuick }: Session): typeof FULL {
  return isQuick ? QUICK : FULL;
}

function thousands(count: number): string {
  return count.toLocaleString("en");
}
