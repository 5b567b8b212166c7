/**
 * Passes of the repair loop on real stores: how many routes a batch has, how long the loop pauses, and what it logs
 * (docs/contract.md, sections 5 and 11).
 */
import assert from "node:assert/strict";
import type { Clock } from "../../src/clock.ts";
import type { PostgresPool } from "../../src/postgres/pool.ts";
import { CheckedServers } from "../../src/repair/checked_servers.ts";
import { createRepairEvents } from "../../src/repair/events.ts";
import { Repair, type RepairOptions } from "../../src/repair/repair.ts";
import { createInstruments } from "../../src/telemetry/instruments.ts";
import { captureLog } from "../support/captured_log.ts";
import { INTENTS, openStage, type Stage, STREAMS } from "../support/stage.ts";

const PUSH = STREAMS.push;
const KEPT = "10-0";
const LOST = "20-0";
/** What one batch takes by the clock of the tests. */
const WORK_MS = 40;

/** Each reading of the time is {@link WORK_MS} later than the last; sleeping takes no time. */
class SteppingClock implements Clock {
  readonly slept: number[] = [];
  #ms = 0;
  now = () => Date.now();
  random = () => 0.5;
  monotonic(): number {
    return this.#ms += WORK_MS;
  }
  sleep(ms: number): Promise<void> {
    this.slept.push(ms);
    return Promise.resolve();
  }
}

async function repairLoop(stage: Stage, changes: Partial<RepairOptions> = {}): Promise<Repair> {
  return new Repair({
    servers: new CheckedServers(),
    postgres: stage.pool,
    redis: await stage.connection(),
    streams: STREAMS,
    intentStream: INTENTS,
    leaseTtlMs: 60_000,
    isRepublished: true,
    events: createRepairEvents({ instruments: createInstruments(), isRepublished: true }),
    clock: new SteppingClock(),
    onProgress: () => {},
    onPostgresChecked: () => {},
    onPutBack: () => {},
    ...changes,
  });
}

/** Adds a record whose id ends in `at`, with this many published pushes. */
async function addRoutes(stage: Stage, at: number, { routes, entryId }: { routes: number; entryId: string }) {
  await stage.query(
    `INSERT INTO notification.records (notification_id, notification_type, producer, audience_kind, recipient_user_ids,
      payload, idempotency_key, request_fingerprint, stream, stream_entry_id, occurred_at)
    SELECT lpad(to_hex($1::int), 32, '0')::uuid, 't', 'p', 'user', '[]', '{}', $1::text, '', 's', $1 || '-0', now()`,
    [at],
  );
  await stage.query(
    `INSERT INTO notification.routes (notification_id, route_id, channel, recipient, status, max_attempts, attempt_count,
      published_entry_id)
    SELECT lpad(to_hex($1::int), 32, '0')::uuid, 'push:' || n, 'push', 'user:u', 'published', 3, 1, $3
    FROM generate_series(1, $2::int) AS n`,
    [at, routes, entryId],
  );
}

/** As if the check of Redis has found that the entries after {@link KEPT} are lost. */
async function openRepair(stage: Stage): Promise<void> {
  await stage.query(
    `INSERT INTO notification.repairs (stream, lost_after, lost_up_to, detected_at)
    VALUES ($1, $2, $3, clock_timestamp())`,
    [PUSH, KEPT, LOST],
  );
}

const pending = (stage: Stage) => stage.value("SELECT count(*) FROM notification.routes WHERE status = 'pending'");
const openRepairs = (stage: Stage) =>
  stage.value("SELECT count(*) FROM notification.repairs WHERE finished_at IS NULL");

/** Calls `before` with each batch's size before the batch is looked at. */
function watchBatches(pool: PostgresPool, before: (size: number) => void): void {
  const query = pool.query as (...statement: unknown[]) => unknown;
  const watched = (...statement: unknown[]) => {
    const { name, values } = statement[0] as { name?: string; values?: unknown[] };
    if (name === "put_back") before(Math.max(...values!.map(Number).filter(Number.isInteger)));
    return query(...statement);
  };
  pool.query = watched as PostgresPool["query"];
}

Deno.test("a batch that runs into the statement time-out is halved until it does not, and grows again", async () => {
  await using stage = await openStage();
  await addRoutes(stage, 1, { routes: 400, entryId: LOST });
  await openRepair(stage);
  // As if PostgreSQL needs too long for more than 100 changes.
  await stage.query(`
    CREATE FUNCTION notification.slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF (SELECT count(*) FROM changed) > 100 THEN
        RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014';
      END IF;
      RETURN NULL;
    END $$`);
  await stage.query(`
    CREATE TRIGGER slow AFTER UPDATE ON notification.routes REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION notification.slow()`);
  const pool = stage.poolWith(5_000);
  const sizes: number[] = [];
  watchBatches(pool, (size) => void sizes.push(size));
  const loop = await repairLoop(stage, { postgres: pool });
  const failed: number[] = [];
  for (let passes = 0; await openRepairs(stage) === "1"; passes++) {
    assert.ok(passes < 40, `${sizes}`);
    await loop.pass().catch((error) => {
      assert.match(error.message, /statement timeout/);
      failed.push(sizes.length - 1);
    });
  }
  await pool.close(5_000);
  assert.equal(await pending(stage), "400");
  assert.deepEqual(sizes.slice(0, 8), [5_000, 2_500, 1_250, 625, 313, 157, 79, 158]);
  for (const [at, size] of sizes.entries()) {
    if (at === 0) continue;
    const before = sizes[at - 1]!;
    assert.equal(size, failed.includes(at - 1) ? Math.ceil(before / 2) : Math.min(5_000, before * 2), `batch ${at}`);
  }
});

Deno.test("batches without a lost route take at most half of the time; after one with lost routes there is no pause", async () => {
  await using stage = await openStage();
  // The search begins with the newest record.
  await addRoutes(stage, 3, { routes: 100, entryId: LOST });
  await addRoutes(stage, 2, { routes: 12_000, entryId: KEPT });
  await addRoutes(stage, 1, { routes: 100, entryId: LOST });
  await openRepair(stage);
  const clock = new SteppingClock();
  const putBack: string[] = [];
  const loop = await repairLoop(stage, { clock, onPutBack: (channel) => void putBack.push(channel) });
  const results: string[] = [];
  do results.push(await loop.pass()); while (results.at(-1) === "again");
  assert.deepEqual([results, putBack], [["again", "again", "again", "idle"], ["push", "push"]]);
  // Before each batch, and before the look for another repair: only the second batch had no lost route.
  assert.deepEqual(clock.slept, [0, 0, WORK_MS, 0]);
  assert.deepEqual([await openRepairs(stage), await pending(stage)], ["0", "200"]);
});

Deno.test("an unexpected error of a repair is one line, however often it is met, until a pass succeeds", async () => {
  await using log = captureLog("warn");
  await using stage = await openStage();
  await addRoutes(stage, 1, { routes: 3, entryId: LOST });
  await openRepair(stage);
  const pool = stage.poolWith(5_000);
  let isBroken = true;
  watchBatches(pool, () => {
    if (isBroken) throw new TypeError("a defect");
  });
  const loop = await repairLoop(stage, { postgres: pool });
  const errors = async () => (await log.lines()).filter(({ level }) => level === "error");
  for (let passes = 0; passes < 3; passes++) assert.equal(await loop.pass(), "idle");
  const [line, ...more] = await errors();
  assert.deepEqual([line?.message, more], ["a repair met an unexpected error: it is tried again", []]);
  assert.match(String(line?.reason), /TypeError: a defect/);
  isBroken = false;
  while (await loop.pass() === "again");
  assert.deepEqual([await openRepairs(stage), await pending(stage)], ["0", "3"]);
  isBroken = true;
  for (let passes = 0; passes < 2; passes++) assert.equal(await loop.pass(), "idle");
  assert.equal((await errors()).length, 2);
  await pool.close(5_000);
});

Deno.test("a check of Redis that meets an unexpected error is repeated once a second", async () => {
  await using log = captureLog("warn");
  await using stage = await openStage();
  const redis = await stage.connection();
  const clock = new SteppingClock();
  const servers = new CheckedServers();
  const loop = await repairLoop(stage, { redis, clock, servers });
  while (await loop.pass() === "again");
  const { run } = redis;
  redis.run = () => Promise.reject(new TypeError("a defect"));
  servers.doubtRedis();
  clock.slept.length = 0;
  const stop = new AbortController();
  for (let passes = 0; passes < 3; passes++) {
    assert.equal(await loop.pass(), "idle");
    await loop.idle(stop.signal);
  }
  assert.deepEqual(clock.slept, [1_000, 1_000, 1_000]);
  assert.equal((await log.messages()).length, 1);
  redis.run = run;
  assert.equal(await loop.pass(), "idle");
  assert.equal(servers.isRedisDue, false);
  // The loop waits for the next turn again.
  clock.slept.length = 0;
  const idle = loop.idle(stop.signal);
  servers.wake.ring();
  await idle;
  assert.deepEqual(clock.slept, []);
});
