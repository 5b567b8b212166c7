// In: a session. Out: how fast the real service publishes with ever more live routes and with many terminal ones, accepts
// with many records, and deletes what is old; each also while a transaction holds an old snapshot.
// Guaranteed: a rate is that of a stretch in the middle of the work, when the process is warm; what is in the tables before
// and after is counted.

// @ts-types="@types/pg"
import pg from "pg";
import { acceptRate, deleteRate, lengthOf, type Place, publishRate } from "./flat_rates.ts";
import { migrate } from "../../src/postgres/migrate.ts";
import type { Flat, Flatness } from "./results.ts";
import type { Session } from "./session.ts";
import { addRows } from "./tables.ts";

const FULL = {
  live: [10_000, 100_000, 1_000_000, 3_000_000],
  published: { leadIn: 30_000, timed: 60_000, slack: 15_000 },
  records: 5_000_000,
  accepted: { leadIn: 15_000, timed: 45_000, slack: 2000 },
  deleted: 200_000,
};
const QUICK: typeof FULL = {
  live: [10_000, 50_000],
  published: { leadIn: 4000, timed: 10_000, slack: 10_000 },
  records: 120_000,
  accepted: { leadIn: 4000, timed: 6000, slack: 2000 },
  deleted: 10_000,
};

export async function measureFlatness(session: Session): Promise<Flatness> {
  const publish = await withLiveRoutes(session);
  const acceptedInto = await withHardlyAnyRecords(session);
  const many = await withManyRecords(session);
  return { publish: [...publish, many.publish], accept: [acceptedInto, many.accept], retention: [many.retention] };
}

async function withLiveRoutes(session: Session): Promise<Flat[]> {
  const { live, published } = sizesOf(session);
  await using place = await openPlace(session);
  const found: Flat[] = [];
  for (const size of live) {
    found.push(
      await bothWays(place, `${thousands(size)} live routes`, {
        prepare: () => topUp(place, size + lengthOf(published)),
        measure: () => publishRate(place, published),
      }),
    );
  }
  return found;
}

async function withHardlyAnyRecords(session: Session): Promise<Flat> {
  const { accepted } = sizesOf(session);
  await using place = await openPlace(session);
  return await bothWays(place, "few records", { measure: () => acceptRate(place, accepted) });
}

/** Terminal routes, of records of which the oldest are old enough to go, in two lots. */
async function withManyRecords(session: Session): Promise<{ publish: Flat; accept: Flat; retention: Flat }> {
  const { live, published, records, accepted, deleted } = sizesOf(session);
  await using place = await openPlace(session);
  session.progress(`making ${thousands(records)} records with terminal routes`);
  const oldest = [20, 15].map((daysAgo, lot) => ({ from: lot * deleted, records: deleted, daysAgo }));
  const rest = { from: 2 * deleted, records: records - 2 * deleted, daysAgo: 3 };
  for (const rows of [...oldest, rest]) await addRows(place.setting.pool, { ...rows, routes: "published" });
  place.nextRecord = records;

  const publish = await bothWays(place, `${thousands(live[0]!)} live, ${thousands(records)} terminal routes`, {
    prepare: () => topUp(place, live[0]! + lengthOf(published)),
    measure: () => publishRate(place, published),
  });
  session.progress("publishing what is left");
  await publishRate(place, "all");
  const size = `${thousands(records)} records`;
  const accept = await bothWays(place, size, { measure: () => acceptRate(place, accepted) });
  const days = [17, 10];
  const retention = await bothWays(place, size, {
    measure: () => deleteRate(place, { days: days.shift()!, records: deleted }),
  });
  return { publish, accept, retention };
}

/** Without and with a transaction that holds a snapshot from before. */
async function bothWays(
  { session, setting }: Place,
  size: string,
  { prepare = () => Promise.resolve(), measure }: { prepare?: () => Promise<void>; measure: () => Promise<number> },
): Promise<Flat> {
  session.progress(size);
  await prepare();
  const rate = await measure();
  session.progress(`${size}, under an old snapshot`);
  await prepare();
  const holder = new pg.Client({ connectionString: setting.dsn });
  await holder.connect();
  try {
    await holder.query("BEGIN ISOLATION LEVEL REPEATABLE READ");
    await holder.query("SELECT 1"); // takes the snapshot
    return { size, rate, underSnapshot: await measure() };
  } finally {
    await holder.end();
  }
}

/** Adds live routes until there are so many. */
async function topUp(place: Place, wanted: number): Promise<void> {
  const { rows } = await place.setting.pool.query<{ live: number }>(
    "SELECT count(*)::int AS live FROM notification.routes WHERE next_attempt_at IS NOT NULL",
  );
  const records = Math.ceil((wanted - rows[0]!.live) / 2);
  if (records <= 0) return;
  await addRows(place.setting.pool, { from: place.nextRecord, records, routes: "live", daysAgo: 2 });
  place.nextRecord += records;
}

async function openPlace(session: Session): Promise<Place & AsyncDisposable> {
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
