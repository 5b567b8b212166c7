/**
 * Recovery from dead letters and malformed intents: the intents that reissue prints for redis-cli are delivered once,
 * only to users whose routes were given up, however often reissue is run.
 */
import assert from "node:assert/strict";
import { runOn } from "../support/command.ts";
import { validIntent } from "../support/intents.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

/** Sends lines as redis-cli reads them: words, in double quotes with escapes where needed. */
async function send(rig: Rig, lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    const words = line.match(/"(?:[^"\\]|\\.)*"|\S+/g)!.map((word) =>
      word.startsWith('"')
        ? word.slice(1, -1).replace(/\\x([0-9a-f]{2})/g, (_, code) => String.fromCharCode(parseInt(code, 16)))
        : word
    );
    await rig.redis.call(words[0]!, ...words.slice(1));
  }
}

async function reissue(rig: Rig, args: readonly string[], code = 0) {
  const ran = await runOn(rig, ["reissue", ...args]);
  assert.equal(ran.code, code, ran.stderr);
  return { lines: ran.stdout.split("\n").filter((line) => line !== ""), stderr: ran.stderr };
}

const PAYLOAD = '{"game_id":"g 1",\r\n\t"game_name":"It\'s \\"N\\" \\u00e9 ☃ $HOME `x` \\\\n",\n"turn_number":1.50e1}';

/** Every column of every row, in one order: reissue must leave all of them as they are. */
const DEAD_LETTERS = "SELECT * FROM notification.dead_letters ORDER BY notification_id, route_id";
const MALFORMED = "SELECT * FROM notification.malformed_intents ORDER BY stream, stream_entry_id";

/** Who got which event of a game, by push. */
async function events(rig: Rig): Promise<string[]> {
  return (await rig.clientEvents()).map(({ fields }) => fields["user_id"]!).sort();
}

Deno.test("dead letters are reissued for the users whose routes were given up, and doing it again repeats nothing", async () => {
  await using rig = await openRig({ env: { NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "1" }, otherUsers: () => ({}) });
  await rig.redis.set("gateway:client-events", "in the way");
  await rig.start();
  await rig.addIntent({ recipient_user_ids_json: '["u1","u2"]', payload_json: PAYLOAD, request_id: "r-1" });
  await rig.addIntent({ recipient_user_ids_json: '["u3"]' });
  await rig.addIntent({
    notification_type: "game.generation_failed",
    audience_kind: "admin_email",
    recipient_user_ids_json: undefined,
    payload_json: '{"game_id":"g","game_name":"N","failure_reason":"r"}',
  });
  await rig.settled();
  await rig.redis.del("gateway:client-events");

  // u2's dead letter is created after the first reissue, and is left for the second.
  await rig.query(
    "UPDATE notification.dead_letters SET created_at = now() - interval '2 hours' WHERE recipient <> 'user:u2'",
  );
  const before = await rig.query(DEAD_LETTERS);
  assert.deepEqual(before.map((row) => row["recipient"]).sort(), ["user:u1", "user:u2", "user:u3"]);
  const first = await reissue(rig, ["--since", "1h"]);
  assert.equal(first.lines.length, 1);
  assert.match(first.lines[0]!, /^XADD notification:intents \* notification_type game.turn.ready /);
  await send(rig, first.lines);
  await rig.settled();
  assert.deepEqual(await events(rig), ["u2"]);

  // Everything is sent twice before intake reads it, and once more afterwards.
  const all = await reissue(rig, ["dead-letters"]);
  assert.equal(all.lines.length, 2);
  assert.deepEqual((await reissue(rig, [])).lines, all.lines);
  await send(rig, [...all.lines, ...all.lines]);
  await rig.settled();
  assert.deepEqual(await events(rig), ["u1", "u2", "u3"]);
  const nothing = await reissue(rig, [], 1);
  assert.deepEqual([nothing.lines, nothing.stderr], [[], "left out: 2: reissued before\n0 to send"]);

  const [event] = (await rig.clientEvents()).filter(({ fields }) => fields["user_id"] === "u1");
  assert.deepEqual([event?.fields["payload_bytes"], event?.fields["request_id"]], [PAYLOAD, "r-1"]);
  assert.deepEqual(await rig.query(DEAD_LETTERS), before);
  assert.equal((await reissue(rig, ["--type", "game.finished"])).stderr, "0 to send");
  assert.equal((await runOn(rig, ["reissue", "--classification", "recipient_not_found"])).code, 64);
});

Deno.test("an intent for administrators is reissued whole, once", async () => {
  await using rig = await openRig({
    env: {
      NOTIFICATION_EMAIL_RETRY_MAX_ATTEMPTS: "1",
      NOTIFICATION_ADMIN_EMAILS_GAME_GENERATION_FAILED: "a@example.com,b@example.com",
    },
  });
  await rig.redis.set("mail:delivery_commands", "in the way");
  await rig.start();
  await rig.addIntent({
    notification_type: "game.generation_failed",
    audience_kind: "admin_email",
    recipient_user_ids_json: undefined,
    payload_json: '{"game_id":"g","game_name":"N","failure_reason":"r"}',
  });
  await rig.settled();
  await rig.redis.del("mail:delivery_commands");
  const before = await rig.query(DEAD_LETTERS);
  assert.equal(before.length, 2);
  const { lines } = await reissue(rig, []);
  assert.equal(lines.length, 1);
  await send(rig, lines);
  await rig.settled();
  assert.equal((await rig.mailCommands()).length, 2);
  assert.equal((await reissue(rig, [], 1)).stderr, "left out: 1: reissued before\n0 to send");
  assert.deepEqual(await rig.query(DEAD_LETTERS), before);
});

Deno.test("reissue looks through more rows than one statement looks at, and misses none where it goes on", async () => {
  await using rig = await openRig();
  const service = await rig.start();
  await rig.addIntent({ idempotency_key: "many-recipients", payload_json: PAYLOAD });
  await rig.settled();
  assert.equal((await service.terminate()).code, 0);
  // 19,990 dead letters of older records that are gone; then 20 of this one, of which the first and the last, beyond
  // the 20,000th, match.
  await rig.query(`
    INSERT INTO notification.dead_letters
    SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, now(), 1, 1, 'push:user:u', 'push', 'user:u',
      'mail_stream_publish_failed', 'm' FROM generate_series(1, 19990) AS n
    UNION ALL
    SELECT notification_id, now(), 1, 1, 'push:user:u' || lpad(n::text, 2, '0'), 'push', 'user:u' || n,
      CASE WHEN n IN (1, 20) THEN 'gateway_stream_publish_failed' ELSE 'mail_stream_publish_failed' END, 'm'
    FROM notification.records, generate_series(1, 20) AS n`);
  const found = await reissue(rig, ["--classification", "gateway_stream_publish_failed"]);
  assert.equal(found.lines.length, 1);
  assert.match(found.lines[0]!, /recipient_user_ids_json .*u1\W.*u20\W/);
  assert.deepEqual((await reissue(rig, ["--type", "game.turn.ready", "--producer", "game-master"])).lines.length, 1);
  assert.deepEqual((await reissue(rig, ["--type", "game.finished"])).lines, []);

  await rig.query(
    `
    INSERT INTO notification.malformed_intents
    SELECT now() - interval '1 hour' + n / 1000 * interval '1 second', $1, '1-' || n, 'game.turn.ready', 'game-master', 'key-' || n, 'recipient_not_found', 'm',
      CASE WHEN n > 20000 THEN $2 ELSE '[]' END::jsonb FROM generate_series(1, 20010) AS n`,
    [
      rig.intentsStream,
      JSON.stringify(
        Object.entries({ ...validIntent({ idempotency_key: "again" }), recipient_user_ids_json: '["user-1"]' }),
      ),
    ],
  );
  const { lines, stderr } = await reissue(rig, ["malformed"]);
  assert.equal(lines.length, 1, stderr);
  assert.match(stderr, /^left out: 9: an earlier one has the same key$/m);
  assert.match(stderr, /^left out: 20000: its fields were not kept whole$/m);
});

Deno.test("malformed intents that would be accepted today are reissued under their own keys", async () => {
  const known = new Set(["user-1"]);
  await using rig = await openRig({ users: [], otherUsers: (id) => known.has(id) ? {} : undefined });
  await rig.start();
  for (let at = 0; at < 120; at++) {
    await rig.addIntent({
      recipient_user_ids_json: `["user-${at % 60 + 1}"]`,
      idempotency_key: `k-${at}`,
      payload_json: PAYLOAD,
    });
  }
  // One is refused again, one is accepted, and one can never be accepted.
  await rig.addIntent({ recipient_user_ids_json: '["user-2"]', idempotency_key: "k-1", payload_json: PAYLOAD });
  await rig.addIntent({ recipient_user_ids_json: '["user-1"]', idempotency_key: "k-2" });
  await rig.addIntent({ recipient_user_ids_json: '["user-2"]', idempotency_key: "k-0" });
  await rig.addIntent({ payload_json: "{}" });
  await rig.addEntry([["producer", new Uint8Array([0xff])]]);
  await rig.settled();
  const count = async (table: string) =>
    Number((await rig.query(`SELECT count(*) FROM notification.${table}`))[0]!["count"]);
  assert.equal(await count("records"), 3);
  const before = await rig.query(MALFORMED);
  assert.equal(before.length, 122);

  const nothing = await reissue(rig, ["malformed", "--classification", "recipient_not_found"], 1);
  assert.deepEqual(nothing.lines, []);
  assert.match(nothing.stderr, /^left out: \d+: still recipient_not_found/m);

  rig.users.behaviour = (id) => Response.json({ user: { user_id: id } });
  const { lines, stderr } = await reissue(rig, ["malformed"]);
  assert.equal(lines.length, 117);
  const reasons = [
    "1: an earlier one has the same key",
    "1: its key has a record now",
    "1: its key belongs to another request",
    "1: still invalid_payload",
    "1: its fields were not kept whole",
  ];
  for (const reason of reasons) assert.match(stderr, new RegExp(`^left out: ${reason}$`, "m"));
  await send(rig, [...lines, ...lines]);
  await rig.settled({ timeoutMs: 30_000 });
  assert.equal(await count("records"), 120);
  assert.deepEqual(await rig.query(MALFORMED), before);
  await eventually(async () => (await rig.clientEvents()).length === 120);
  assert.deepEqual((await reissue(rig, ["malformed"], 1)).lines, []);
  assert.deepEqual(await rig.query(MALFORMED), before);
});
