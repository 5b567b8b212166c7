/** Intake in hard cases: backlogs of large entries, foreign keys under our names, missing rights. */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import type pg from "pg";
import { startRedis } from "../../scripts/servers/redis.ts";
import { readExactEntry } from "../../src/intake/exact_entry.ts";
import { OutageError, outageOf } from "../../src/lifecycle/outage.ts";
import { embeddedCatalog } from "../../src/notification/catalog.ts";
import { decode } from "../../src/notification/decode.ts";
import { MAX_KEPT_BYTES, MAX_VALUE_BYTES } from "../../src/notification/raw_fields.ts";
import type { FieldValue } from "../../src/notification/stream_entry.ts";
import { RedisError } from "../../src/redis/failures.ts";
import { consumerLeaseKey, streamOffsetKey } from "../../src/redis/keys.ts";
import { INTENTS, openStage, type Stage } from "../support/stage.ts";
import { eventually } from "../support/wait.ts";

async function consume(stage: Stage, passes: number, changes: Parameters<Stage["consumer"]>[0] = {}): Promise<void> {
  const stop = new AbortController();
  const consumer = await stage.consumer(changes);
  try {
    for (let at = 0; at < passes; at++) await consumer.pass(stop.signal);
  } finally {
    stop.abort();
    await consumer.close();
  }
}

const records = (stage: Stage) => stage.value("SELECT count(*) FROM notification.records");

Deno.test("a backlog of large entries after small ones is read in steps that Redis can handle", async () => {
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  for (let at = 0; at < 200; at++) await stage.addIntent();
  // A gigabyte in one call would take Redis longer than a command may.
  await stage.redis.eval(
    `for i = 1, 100 do redis.call('XADD', KEYS[1], '*', 'producer', string.rep('x', 2 * 1024 * 1024)) end`,
    1,
    INTENTS,
  );
  // The entries of one step are in Redis's memory together, and show in its peak.
  const megabytes = async (name: string) =>
    Number(new RegExp(`^${name}:(\\d+)`, "m").exec(await stage.redis.info("memory"))![1]) / 1024 / 1024;
  const stored = await megabytes("used_memory_peak");
  await consume(stage, 3, { redis: await stage.connection(30_000) });
  const brought = await megabytes("used_memory_peak") - stored;
  assert.ok(brought < 20, `${brought} MiB`); // eight entries of two
  assert.equal(await records(stage), "200");
});

Deno.test("a known field that a large entry repeats is kept once, and reported", async () => {
  await using stage = await openStage();
  const redis = await stage.connection();
  const bytesOf = (value: FieldValue) =>
    typeof value === "object" && "head" in value ? value.head.length : value.length;
  for (const [field, count] of [["payload_json", 48], ["recipient_user_ids_json", 48], ["note", 6]] as const) {
    const id = await stage.redis.eval(
      `local fields = {'producer', 'p'}
      for i = 1, tonumber(ARGV[2]) do
        fields[#fields + 1] = ARGV[1]
        fields[#fields + 1] = string.rep('x', 900 * 1024)
      end
      for i = 1, 2 do
        fields[#fields + 1] = 'producer'
        fields[#fields + 1] = 'q'
      end
      return redis.call('XADD', KEYS[1], '*', unpack(fields))`,
      1,
      INTENTS,
      field,
      count,
    ) as string;
    const entry = await readExactEntry(redis, { stream: INTENTS, id });
    const kept = entry!.fields.reduce((sum, value) => sum + bytesOf(value), 0);
    assert.ok(kept <= MAX_KEPT_BYTES + 2 * MAX_VALUE_BYTES, `${field}: ${kept} bytes`);
    const decoded = decode(entry!, embeddedCatalog());
    assert.deepEqual(
      decoded.kind === "malformed" && [decoded.code, decoded.message],
      ["invalid_fields", `${field === "note" ? "producer" : field} occurs more than once`],
    );
  }
});

Deno.test("a batch that takes PostgreSQL too long is tried again at half its size", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 16; at++) await stage.addIntent();
  // Each row takes a tenth of a second: at two statements' worth of time, five fit.
  await stage.query(`
    CREATE FUNCTION notification.slow() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$`);
  await stage.query(`
    CREATE TRIGGER slow BEFORE INSERT ON notification.records FOR EACH ROW EXECUTE FUNCTION notification.slow()`);
  const pool = stage.poolWith(600);
  const stop = new AbortController();
  const consumer = await stage.consumer({ postgres: pool });
  let outages = 0;
  const until = performance.now() + 60_000;
  while (await records(stage) !== "16" && performance.now() < until) {
    await consumer.pass(stop.signal).catch((error) => {
      outages++;
      if (outageOf(error)?.dependency !== "postgres") throw error;
    });
  }
  stop.abort();
  await consumer.close();
  await pool.close(1000);
  assert.equal(await records(stage), "16");
  assert.ok(outages > 0);
});

Deno.test("a read that takes Redis too long is tried again with fewer entries, and then without the stream's state", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 3; at++) await stage.addIntent();
  const redis = await stage.connection();
  const run = redis.run.bind(redis);
  let refused = 0;
  redis.run = async (script, keys, args) => {
    const isBearable = Number(args[1]) === 1 && args[4] === 0;
    if (!script.source.includes("XREAD") || isBearable) return await run(script, keys, args);
    refused++;
    throw new RedisError("Socket timeout", { code: "" });
  };
  const stop = new AbortController();
  const consumer = await stage.consumer({ redis, batchSize: 40 });
  await eventually(async () => {
    await consumer.pass(stop.signal).catch((error) => {
      if (outageOf(error)?.dependency !== "redis") throw error;
    });
    return await records(stage) === "3";
  });
  stop.abort();
  await consumer.close();
  assert.ok(refused > 3);
});

Deno.test("a duplicate whose record retention deletes meanwhile is judged again, not recorded as malformed", async () => {
  await using stage = await openStage();
  const fields = { idempotency_key: "once", recipient_user_ids_json: '["u1"]' };
  await stage.addIntent(fields);
  await consume(stage, 1);
  await stage.addIntent(fields);
  stage.users.behaviour = () => new Response("oops", { status: 500 });
  // The key has a record when the intent is judged, and none when it is accepted.
  let looks = 0;
  const query = async (config: pg.QueryConfig, values: unknown[]) => {
    if (config.name === "select_fingerprints" && ++looks === 2) {
      await stage.query("DELETE FROM notification.routes");
      await stage.query("DELETE FROM notification.records");
    }
    return await stage.pool.query(config, values);
  };
  const postgres = Object.create(stage.pool, {
    query: { value: query },
    connect: { value: stage.pool.connect.bind(stage.pool) },
  });
  const isOutage = (dependency: string) => (error: unknown) =>
    error instanceof OutageError && error.dependency === dependency;
  await assert.rejects(consume(stage, 1, { postgres }), isOutage("postgres"));
  await assert.rejects(consume(stage, 1), isOutage("user_service"), "its recipient counts now");
  stage.users.behaviour = undefined;
  await consume(stage, 1);
  assert.equal(await records(stage), "1");
  assert.equal(await stage.value("SELECT count(*) FROM notification.malformed_intents"), "0");
});

Deno.test("foreign keys under our names do not stop intake", async () => {
  await using stage = await openStage();
  await stage.redis.lpush(consumerLeaseKey(INTENTS), "x");
  await stage.redis.set(streamOffsetKey(INTENTS), "x");
  await stage.addIntent();
  await consume(stage, 1);
  assert.equal(await records(stage), "1");
});

Deno.test("missing rights on the stream are an outage of it, also for an entry that is read in pieces", async () => {
  await using server = await startRedis();
  await using stage = await openStage({ redisServer: server });
  const acl = (rule: string) => stage.redis.call("ACL", "SETUSER", "default", rule);
  await stage.redis.call("XADD", INTENTS, "*", "producer", "\ufffd");
  for (const command of ["xrange", "xread", "xinfo"]) {
    await acl(`-${command}`);
    await assert.rejects(
      consume(stage, 1),
      (error) => error instanceof OutageError && error.dependency === "intent_stream",
      command,
    );
    await acl(`+${command}`);
  }
  await consume(stage, 1);
  assert.equal(await stage.value("SELECT count(*) FROM notification.malformed_intents"), "1");
});

Deno.test("a restart right after another stream was found raises no false alarm", async () => {
  await using stage = await openStage();
  const trimmed: number[] = [];
  const events = { ...stage.intakeEvents(), trimmedUnread: (entries: number) => trimmed.push(entries) };
  for (let at = 0; at < 3; at++) await stage.addIntent();
  await consume(stage, 1, { events });
  await stage.redis.del(INTENTS);
  for (let at = 1; at <= 5; at++) await stage.addIntent({}, `1-${at}`);
  await stage.redis.xtrim(INTENTS, "MAXLEN", 2);
  // The pass that finds it reads no entries; then the process ends.
  await consume(stage, 1, { events });
  await consume(stage, 2, { events });
  assert.deepEqual(trimmed, []);
  assert.equal(await records(stage), "5");
});
