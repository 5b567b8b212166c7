/** The intent consumer's pass on real servers: every entry has exactly one outcome, and the offset is always right. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
// @ts-types="@types/pg"
import type pg from "pg";
import { systemClock } from "../../src/clock.ts";
import { OutageError } from "../../src/lifecycle/outage.ts";
import type { IntentConsumer } from "../../src/intake/intent_consumer.ts";
import { consumerLeaseKey, streamOffsetKey } from "../../src/redis/keys.ts";
import type { AcceptedBatch } from "../../src/relay/relay.ts";
import { eventually } from "../support/wait.ts";
import { INTENTS, openStage, type Stage } from "../support/stage.ts";

function offsetRow(stage: Stage): Promise<{ entry_id: string; entries_read: string }[]> {
  return stage.query(
    "SELECT entry_id, entries_read FROM notification.stream_offsets WHERE stream = 'notification:intents'",
  );
}

/** A consumer whose lease is no longer renewed after the test. */
async function withConsumer(
  stage: Stage,
  work: (consumer: IntentConsumer, pass: (times?: number) => Promise<void>) => Promise<void>,
  changes: Parameters<Stage["consumer"]>[0] = {},
): Promise<void> {
  const stop = new AbortController();
  const consumer = await stage.consumer(changes);
  try {
    await work(consumer, async (times = 1) => {
      for (let at = 0; at < times; at++) await consumer.pass(stop.signal);
    });
  } finally {
    stop.abort();
    await consumer.close();
  }
}

Deno.test("a pass accepts its entries, moves the offset, and copies it to Redis", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  const last = await stage.addIntent({ recipient_user_ids_json: '["u1","u2","u1"]' });
  await withConsumer(stage, (_, pass) => pass());
  assert.deepEqual(await offsetRow(stage), [{ entry_id: last, entries_read: "2" }]);
  assert.deepEqual(await stage.redis.hgetall(streamOffsetKey(INTENTS)), {
    entry_id: last,
    entries_read: "2",
  });
  assert.equal(await stage.value("SELECT count(*) FROM notification.routes"), "6");
});

Deno.test("an intent that PostgreSQL refuses for its data is recorded, and the rest of the batch is accepted", async () => {
  await using stage = await openStage();
  await stage.query(`
    ALTER TABLE notification.records ADD CONSTRAINT refuse CHECK (idempotency_key NOT IN ('bad-1', 'bad-2'))`);
  const keys = Array.from({ length: 30 }, (_, at) => at === 7 ? "bad-1" : at === 23 ? "bad-2" : `good-${at}`);
  for (const idempotency_key of keys) await stage.addIntent({ idempotency_key });
  // The batch is halved, down to the entry at fault.
  await withConsumer(stage, async (_, pass) => {
    await eventually(async () => {
      await pass();
      return (await offsetRow(stage))[0]?.entries_read === "30";
    }, { timeoutMs: 20_000, intervalMs: 0 });
  });
  const malformed = await stage.query<{ idempotency_key: string; failure_code: string; failure_message: string }>(
    "SELECT idempotency_key, failure_code, failure_message FROM notification.malformed_intents ORDER BY 1",
  );
  assert.deepEqual(malformed.map((row) => [row.idempotency_key, row.failure_code]), [
    ["bad-1", "invalid_fields"],
    ["bad-2", "invalid_fields"],
  ]);
  assert.match(malformed[0]!.failure_message, /PostgreSQL refused it: .*violates check constraint/);
  assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "28");
  assert.equal((await offsetRow(stage))[0]!.entries_read, "30");
});

Deno.test("an entry whose malformed row PostgreSQL refuses too is recorded without its fields", async () => {
  await using stage = await openStage();
  await stage.query(`
    ALTER TABLE notification.malformed_intents ADD CONSTRAINT refuse CHECK (raw_fields = '[]')`);
  await stage.addIntent({ producer: "nobody" });
  await withConsumer(stage, (_, pass) => pass());
  assert.equal(await stage.value("SELECT failure_code FROM notification.malformed_intents"), "producer_not_allowed");
  assert.equal(await stage.value("SELECT raw_fields FROM notification.malformed_intents"), "");
});

Deno.test("a consumer that read from an older offset changes nothing and finds the offset again", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  await withConsumer(stage, async (_, pass) => {
    await pass();
    const second = await stage.addIntent({ idempotency_key: "second" });
    // Another consumer has been faster: the second entry has its outcome.
    await stage.query(
      "UPDATE notification.stream_offsets SET entry_id = $1, entries_read = 2 WHERE stream = 'notification:intents'",
      [second],
    );
    await stage.redis.hset(streamOffsetKey(INTENTS), "entry_id", second, "entries_read", 2);
    await pass();
    assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "1");
    const third = await stage.addIntent({ idempotency_key: "third" });
    await pass();
    assert.deepEqual(await offsetRow(stage), [{ entry_id: third, entries_read: "3" }]);
    assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "2");
  });
});

/** The statements that are sent through the pool from now on, each as its name or its text. */
function statementsOf(pool: pg.Pool): string[] {
  const sent: string[] = [];
  const watched = new WeakSet<pg.PoolClient>();
  pool.on("acquire", (client) => {
    if (watched.has(client)) return;
    watched.add(client);
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    const watchedQuery = (statement: string | pg.QueryConfig, ...rest: unknown[]) => {
      sent.push(typeof statement === "string" ? statement : statement.name ?? statement.text);
      return query(statement, ...rest);
    };
    client.query = watchedQuery as typeof client.query;
  });
  return sent;
}

Deno.test("one statement accepts a batch of any size if all keys are free", async () => {
  await using stage = await openStage();
  await stage.addIntent();
  await withConsumer(stage, async (_, pass) => {
    // Finds the offset.
    await pass();
    const statements = statementsOf(stage.pool);
    let entries = 1;
    for (const size of [1, 10, 1_000]) {
      await Promise.all(Array.from({ length: size }, () => stage.addIntent()));
      statements.length = 0;
      await pass();
      assert.deepEqual(statements, ["insert_intents"], `a batch of ${size}`);
      entries += size;
      assert.equal((await offsetRow(stage))[0]!.entries_read, `${entries}`);
    }
    assert.equal(await stage.value("SELECT count(*) FROM notification.records"), `${entries}`);
    assert.equal(await stage.value("SELECT count(*) FROM notification.routes"), `${2 * entries}`);
  });
});

Deno.test("while the relay has no room nothing is accepted and the offset stays", async () => {
  await using stage = await openStage();
  const handedOver: AcceptedBatch[] = [];
  let room: { readonly asked: () => void; readonly given: Promise<void> } | undefined;
  let signal: AbortSignal | undefined;
  const relay = {
    room: async (stop: AbortSignal) => {
      signal = stop;
      room?.asked();
      await room?.given;
    },
    handOver: (accepted: AcceptedBatch) => void handedOver.push(accepted),
  };
  const first = await stage.addIntent();
  await withConsumer(stage, async (_, pass) => {
    await pass();
    assert.equal(handedOver.length, 1);
    const asked = Promise.withResolvers<void>();
    const given = Promise.withResolvers<void>();
    room = { asked: asked.resolve, given: given.promise };
    const second = await stage.addIntent();
    const passing = pass().then(() => "over");
    await Promise.race([asked.promise, passing]);
    // Longer than a pass takes.
    assert.equal(await Promise.race([passing, systemClock.sleep(300).then(() => "waits")]), "waits");
    assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "1");
    assert.deepEqual(await offsetRow(stage), [{ entry_id: first, entries_read: "1" }]);
    assert.equal(handedOver.length, 1);
    given.resolve();
    await passing;
    assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "2");
    assert.deepEqual(await offsetRow(stage), [{ entry_id: second, entries_read: "2" }]);
    assert.equal(handedOver.length, 2);
    assert.equal(signal?.aborted, false);
  }, { relay });
  // A shutdown ends the wait.
  assert.equal(signal?.aborted, true);
});

Deno.test("a batch is accepted by one statement or the longer way, whichever of its entries is not new", async () => {
  await using stage = await openStage();
  const ids: string[] = [];
  for (const idempotency_key of ["a", "b", "c"]) ids.push(await stage.addIntent({ idempotency_key }));
  // Only the insertion notices it: two were inserted before, and are rolled back.
  await stage.query(
    `INSERT INTO notification.malformed_intents (stream, stream_entry_id, failure_code, failure_message, raw_fields)
     VALUES ($1, $2, 'invalid_payload', 'by another catalog', '[]')`,
    [INTENTS, ids[1]],
  );
  await withConsumer(stage, async (_, pass) => {
    await pass();
    // Noticed before the insertion.
    const again = await stage.addIntent({ idempotency_key: "a" });
    await stage.addIntent({ idempotency_key: "d" });
    await pass();
    assert.equal(await stage.value("SELECT count(*) FROM notification.malformed_intents"), "1");
    assert.equal(
      await stage.value("SELECT count(*) FROM notification.records WHERE stream_entry_id = $1", [again]),
      "0",
    );
  });
  const keys = await stage.query("SELECT idempotency_key FROM notification.records ORDER BY 1");
  assert.deepEqual(keys.map((row) => row.idempotency_key), ["a", "c", "d"]);
  assert.equal(await stage.value("SELECT count(*) FROM notification.routes"), "6");
  assert.equal((await offsetRow(stage))[0]!.entries_read, "5");
});

Deno.test("two consumers at once never give an entry two outcomes", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 200; at++) await stage.addIntent({ idempotency_key: `key-${at}` });
  await withConsumer(stage, async (_first, passFirst) => {
    await withConsumer(stage, async (_second, passSecond) => {
      const until = performance.now() + 60_000;
      while ((await offsetRow(stage))[0]?.entries_read !== "200" && performance.now() < until) {
        // Without the key both instances take the lease, and both consume.
        await stage.redis.del(consumerLeaseKey(INTENTS));
        await Promise.all([passFirst(), passSecond()]);
      }
    }, { batchSize: 7 });
  }, { batchSize: 5 });
  assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "200");
  assert.equal(await stage.value("SELECT count(*) FROM notification.routes"), "400");
  assert.equal(await stage.value("SELECT count(*) FROM notification.malformed_intents"), "0");
  assert.equal((await offsetRow(stage))[0]!.entries_read, "200");
});

Deno.test("two streams on one PostgreSQL share the idempotency keys, and each has its own offset", async () => {
  await using stage = await openStage();
  const OTHER = "notification:intents:other";
  const outcomes: string[] = [];
  const events = { ...stage.intakeEvents() };
  events.outcomes = ({ accepted, duplicates }) => {
    outcomes.push(...accepted.map(({ intent }) => `accepted ${intent.entry.id}`));
    outcomes.push(...duplicates.map(({ entry }) => `duplicate ${entry.id}`));
  };
  const id = await stage.addIntent({ idempotency_key: "shared" });
  const [[, fields]] = await stage.redis.xrange(INTENTS, "-", "+") as [[string, string[]]];
  // The same millisecond and sequence: only the stream distinguishes the entries.
  await stage.redis.xadd(OTHER, id, ...fields);
  const alone = await stage.redis.xadd(OTHER, "*", ...fields.map((value) => value === "shared" ? "alone" : value));
  await withConsumer(stage, async (_first, passFirst) => {
    await withConsumer(stage, async (_second, passSecond) => {
      await passFirst();
      await passSecond();
    }, { events, stream: OTHER });
  }, { events });
  assert.deepEqual(outcomes, [`accepted ${id}`, `accepted ${alone}`, `duplicate ${id}`]);
  assert.deepEqual(
    await stage.query("SELECT stream, idempotency_key FROM notification.records ORDER BY idempotency_key"),
    [{ stream: OTHER, idempotency_key: "alone" }, { stream: INTENTS, idempotency_key: "shared" }],
  );
  assert.deepEqual(
    await stage.query(
      "SELECT stream, entry_id, entries_read FROM notification.stream_offsets WHERE stream LIKE '%intents%' ORDER BY stream",
    ),
    [
      { stream: INTENTS, entry_id: id, entries_read: "1" },
      { stream: OTHER, entry_id: alone, entries_read: "2" },
    ],
  );
});

Deno.test("while the User Service fails temporarily the entries before are accepted and nothing else moves", async () => {
  await using stage = await openStage();
  const first = await stage.addIntent({ recipient_user_ids_json: '["u1"]', idempotency_key: "before" });
  await stage.addIntent({ recipient_user_ids_json: '["u1","down","u2"]', idempotency_key: "stalled" });
  await stage.addIntent({ recipient_user_ids_json: '["u1"]', idempotency_key: "behind" });
  stage.users.behaviour = (id) => id === "down" ? new Response("oops", { status: 500 }) : undefined;
  await withConsumer(stage, async (_, pass) => {
    await assert.rejects(pass(), (error) => error instanceof OutageError && error.progressed);
    assert.deepEqual(await offsetRow(stage), [{ entry_id: first, entries_read: "1" }]);
    await assert.rejects(pass(), (error) => {
      assert.ok(error instanceof OutageError && !error.progressed);
      assert.deepEqual(error.answered, ["redis", "intent_stream", "postgres"]);
      return true;
    });
    stage.users.requestedIds.length = 0;
    stage.users.behaviour = undefined;
    await pass();
    assert.deepEqual(stage.users.requestedIds, ["down"], "those found before the stall are not asked for again");
    assert.equal((await offsetRow(stage))[0]!.entries_read, "3");
  });
});

Deno.test("a duplicate is one also if its recipient is not found, or can't be looked up", async () => {
  await using stage = await openStage();
  const fields = { recipient_user_ids_json: '["u1"]', idempotency_key: "once" };
  await stage.addIntent(fields);
  await withConsumer(stage, async (_, pass) => {
    await pass();
    await stage.addIntent(fields);
    await stage.addIntent({ ...fields, recipient_user_ids_json: '["gone"]' });
    stage.users.behaviour = () => new Response("oops", { status: 500 });
    await pass();
  });
  assert.equal((await offsetRow(stage))[0]!.entries_read, "3");
  assert.equal(await stage.value("SELECT failure_code FROM notification.malformed_intents"), "idempotency_conflict");
});

Deno.test("an entry keeps its outcome when it is read again", async () => {
  await using stage = await openStage();
  await stage.addIntent({ recipient_user_ids_json: '["late"]', idempotency_key: "malformed" });
  await stage.addIntent({ recipient_user_ids_json: '["u1"]', idempotency_key: "accepted" });
  const notFound = () => Response.json({ error: "not_found" }, { status: 404 });
  stage.users.behaviour = (id) => id === "late" ? notFound() : undefined;
  await withConsumer(stage, (_, pass) => pass());
  // The offset is lost; meanwhile one user was created and the other deleted.
  await stage.query("DELETE FROM notification.stream_offsets WHERE stream = 'notification:intents'");
  await stage.redis.del(streamOffsetKey(INTENTS));
  stage.users.behaviour = (id) => id === "u1" ? notFound() : undefined;
  await withConsumer(stage, (_, pass) => pass());
  assert.equal(await stage.value("SELECT string_agg(idempotency_key, ',') FROM notification.records"), "accepted");
  assert.equal(
    await stage.value("SELECT string_agg(idempotency_key, ',') FROM notification.malformed_intents"),
    "malformed",
  );
  assert.equal((await offsetRow(stage))[0]!.entries_read, "2");
});

Deno.test("entries trimmed unread are counted once, also after a restart; trimming read ones raises no alarm", async () => {
  await using stage = await openStage();
  const trimmed: number[] = [];
  const counting = { events: { ...stage.intakeEvents() } };
  counting.events.trimmedUnread = (entries) => trimmed.push(entries);
  for (let at = 0; at < 10; at++) await stage.addIntent();
  await withConsumer(stage, (_, pass) => pass(), { ...counting, batchSize: 4 });
  await stage.redis.xtrim(INTENTS, "MAXLEN", 6);
  await withConsumer(stage, (_, pass) => pass(2), counting);
  assert.deepEqual(trimmed, []);
  for (let at = 0; at < 10; at++) await stage.addIntent();
  await stage.redis.xtrim(INTENTS, "MAXLEN", 3);
  await withConsumer(stage, (_, pass) => pass(2), counting);
  assert.deepEqual(trimmed, [7]);
  await withConsumer(stage, (_, pass) => pass(2), counting);
  assert.deepEqual(trimmed, [7]);
  assert.equal((await offsetRow(stage))[0]!.entries_read, "20");
});

Deno.test("of two consumers that find the same trimmed entries, only one reports it", async () => {
  await using stage = await openStage();
  const trimmed: number[] = [];
  const counting = { events: { ...stage.intakeEvents() } };
  counting.events.trimmedUnread = (entries) => trimmed.push(entries);
  await stage.addIntent();
  const stop = new AbortController();
  const consumers = [await stage.consumer(counting), await stage.consumer(counting)];
  for (const consumer of consumers) {
    // As over maxmemory, when each consumes without the lease.
    await stage.redis.del(consumerLeaseKey(INTENTS));
    await consumer.pass(stop.signal);
    await consumer.pass(stop.signal);
  }
  for (let at = 0; at < 5; at++) await stage.addIntent();
  await stage.redis.xtrim(INTENTS, "MAXLEN", 0);
  for (const consumer of [...consumers, ...consumers]) await consumer.pass(stop.signal);
  stop.abort();
  for (const consumer of consumers) await consumer.close();
  assert.deepEqual(trimmed, [5]);
});

Deno.test("entries trimmed unread are reported also if no entry is left", async () => {
  await using stage = await openStage();
  const trimmed: number[] = [];
  const events = { ...stage.intakeEvents() };
  events.trimmedUnread = (entries) => trimmed.push(entries);
  await stage.addIntent();
  await withConsumer(stage, (_, pass) => pass(), { events });
  await stage.addIntent();
  await stage.redis.xtrim(INTENTS, "MAXLEN", 0);
  await withConsumer(stage, (_, pass) => pass(2), { events });
  await withConsumer(stage, (_, pass) => pass(2), { events });
  assert.deepEqual(trimmed, [1]);
});

Deno.test("a new stream with smaller ids is read from its beginning", async () => {
  await using stage = await openStage();
  for (let at = 0; at < 3; at++) await stage.addIntent();
  await withConsumer(stage, async (_, pass) => {
    await pass();
    await stage.redis.del(INTENTS);
    await stage.addIntent({ idempotency_key: "new-1" }, "1-1");
    await stage.addIntent({ idempotency_key: "new-2" }, "1-2");
    await pass(3);
  });
  assert.deepEqual(await offsetRow(stage), [{ entry_id: "1-2", entries_read: "2" }]);
  assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "5");
  assert.equal(await stage.redis.hget(streamOffsetKey(INTENTS), "entry_id"), "1-2");
});

Deno.test("a new stream with ids around the offset is read from its beginning too", async () => {
  await using stage = await openStage();
  for (let at = 1; at <= 5; at++) await stage.addIntent({}, `5-${at}`);
  await withConsumer(stage, async (_, pass) => {
    await pass();
    await stage.redis.del(INTENTS);
    await stage.addIntent({ idempotency_key: "below" }, "1-1");
    await stage.addIntent({ idempotency_key: "above" }, "9-1");
    await pass(3);
  });
  assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "7");
});

Deno.test("if the hash is ahead of the row, the entries in between are read again; without a row the hash is used", async () => {
  await using stage = await openStage();
  const ids = [];
  for (let at = 0; at < 4; at++) ids.push(await stage.addIntent());
  await withConsumer(stage, (_, pass) => pass());
  // PostgreSQL restored to the state after the second entry.
  await stage.query("DELETE FROM notification.records WHERE stream_entry_id > $1", [ids[1]]);
  await stage.query(
    "DELETE FROM notification.routes WHERE notification_id NOT IN (SELECT notification_id FROM notification.records)",
  );
  await stage.query(
    "UPDATE notification.stream_offsets SET entry_id = $1, entries_read = 2 WHERE stream = 'notification:intents'",
    [ids[1]],
  );
  await withConsumer(stage, (_, pass) => pass());
  assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "4");
  assert.equal(await stage.value("SELECT count(*) FROM notification.routes"), "8");
  await stage.query("DELETE FROM notification.stream_offsets WHERE stream = 'notification:intents'");
  await stage.query("DELETE FROM notification.records");
  await withConsumer(stage, (_, pass) => pass());
  assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "0");
});

Deno.test("an entry of many megabytes is read in pieces, and accepted if it is valid", async () => {
  await using stage = await openStage();
  const megabytes = (count: number) => "x".repeat(count * 1024 * 1024);
  await stage.addIntent({ idempotency_key: "noted", note: megabytes(9) });
  await stage.addIntent({ idempotency_key: "fat", payload_json: `{"game_id":"${megabytes(3)}"}` });
  await stage.addIntent({ idempotency_key: "bytes", note: Buffer.from([0xff, 0xfe]) });
  await stage.redis.call("XADD", INTENTS, "*", "producer", Buffer.from([0x80, 0x81]), "a", "b");
  await stage.addIntent({ idempotency_key: "after" });
  await withConsumer(stage, (_, pass) => pass(5));
  assert.equal(
    await stage.value("SELECT string_agg(idempotency_key, ',' ORDER BY stream_entry_id) FROM notification.records"),
    "noted,bytes,after",
  );
  const [fat, bytes] = await stage.query<{ failure_code: string; raw_fields: [string, Record<string, unknown>][] }>(
    "SELECT failure_code, raw_fields FROM notification.malformed_intents ORDER BY stream_entry_id",
  );
  assert.equal(fat!.failure_code, "invalid_payload");
  const payload = fat!.raw_fields.find(([name]) => name === "payload_json")![1];
  assert.equal(payload.length, 3 * 1024 * 1024 + 14);
  assert.match(String(payload.sha256), /^[0-9a-f]{64}$/);
  assert.equal(String(payload.text).length, 1024 * 1024);
  assert.equal(bytes!.failure_code, "invalid_fields");
  assert.deepEqual(bytes!.raw_fields, [["producer", { base64: "gIE=" }], ["a", "b"]]);
});

Deno.test("batches are bounded in recipients, and one entry always fits", async () => {
  await using stage = await openStage();
  const list = (from: number, count: number) =>
    JSON.stringify(Array.from({ length: count }, (_, at) => `u${from + at}`));
  for (const [from, count] of [[0, 6000], [0, 6000], [0, 10_000], [0, 1], [0, 2]] as const) {
    await stage.addIntent({
      notification_type: "lobby.invite.expired",
      producer: "game-lobby",
      payload_json: '{"game_id":"g","game_name":"n","invitee_user_id":"u","invitee_name":"n"}',
      recipient_user_ids_json: list(from, count),
    });
  }
  const read: string[] = [];
  await withConsumer(stage, async (_, pass) => {
    for (let at = 0; at < 5; at++) {
      await pass();
      read.push((await offsetRow(stage))[0]!.entries_read);
    }
  });
  assert.equal(read.at(-1), "5");
  assert.equal(read[0], "1");
  assert.equal(await stage.value("SELECT count(*) FROM notification.routes"), "22003");
});

Deno.test("a key of another type is an outage of the intent stream, not an unexpected error", async () => {
  await using stage = await openStage();
  await stage.redis.set(INTENTS, "not a stream");
  await withConsumer(stage, async (_, pass) => {
    await assert.rejects(pass(), (error) => error instanceof OutageError && error.dependency === "intent_stream");
    await stage.redis.del(INTENTS);
    await stage.addIntent();
    await pass();
  });
  assert.equal(await stage.value("SELECT count(*) FROM notification.records"), "1");
});
