/**
 * The entry at which intake waits is named everywhere, and set-aside makes intake pass it: for a recipient without an
 * answer of the User Service, for an entry that PostgreSQL can't accept, and for one that Redis can't return.
 */
import assert from "node:assert/strict";
import { refuse } from "../../scripts/servers/user_service.ts";
import { jsonOf, runOn } from "../support/command.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { Terminal } from "../support/terminal.ts";
import { eventually } from "../support/wait.ts";

async function stalledAt(rig: Rig, entryId: string) {
  return await eventually(async () => {
    const { intent_stream } = await jsonOf(rig, ["status"]);
    return intent_stream.waits_for?.entry_id === entryId ? intent_stream : undefined;
  }, { timeoutMs: 30_000 });
}

const codeOf = async (rig: Rig, entryId: string) => {
  const [row] = await rig.query<{ failure_code: string; failure_message: string; raw_fields: unknown[] }>(
    "SELECT failure_code, failure_message, raw_fields FROM notification.malformed_intents WHERE stream_entry_id = $1",
    [entryId],
  );
  return row;
};

Deno.test("the entry, the recipient and the answer are named in the log, status and inspect, and set-aside makes intake pass them", async () => {
  await using rig = await openRig({ otherUsers: () => ({}) });
  rig.users.behaviour = (id) => id === "stuck" || id === "stuck-2" ? refuse(503, "overloaded") : undefined;
  const service = await rig.start();
  const before = await rig.addIntent();
  const stuck = await rig.addIntent({ recipient_user_ids_json: '["fine","stuck"]', idempotency_key: "again" });
  const behind = await rig.addIntent();
  const second = await rig.addIntent({ recipient_user_ids_json: '["stuck-2"]' });
  const last = await rig.addIntent();

  const line = await service.waitForLog(({ message }) => message === "dependency is unavailable");
  assert.deepEqual(
    [line["dependency"], line["stream_entry_id"], line["recipient"], line["reason"]],
    ["user_service", stuck, "stuck", "it answered with status 503"],
  );
  const { waits_for, stalled_ms, next_entry_id } = await stalledAt(rig, stuck);
  assert.deepEqual([next_entry_id, waits_for.recipient, waits_for.dependency, waits_for.reason], [
    stuck,
    "stuck",
    "user_service",
    "it answered with status 503",
  ]);
  assert.ok(stalled_ms >= 0 && stalled_ms < 60_000, `${stalled_ms}`);
  const shown = await runOn(rig, ["status"]);
  assert.match(
    shown.stdout.replace(/\s+/g, " "),
    new RegExp(`entry ${stuck} waits for user "stuck": it answered with status 503`),
  );
  for (const entryId of [stuck, behind]) {
    const { intent } = await jsonOf(rig, ["inspect", "intent", entryId]);
    assert.deepEqual([intent.outcome, intent.waits_for.entry_id], ["waiting", stuck]);
  }

  // An entry that has an outcome, does not exist, or is not confirmed stays as it is.
  const refused = async (args: string[], code: number, message: RegExp) => {
    const ran = await runOn(rig, ["set-aside", ...args]);
    assert.deepEqual([ran.code, ran.stdout], [code, ""], ran.stderr);
    assert.match(ran.stderr, message);
  };
  await refused([before, "--reason", "r", "--yes"], 1, /already has an outcome/);
  await refused(["5-5", "--reason", "r", "--yes"], 1, /notification:intents has no entry 5-5/);
  await refused([stuck, "--reason", "r"], 64, /use --yes/);
  await refused([stuck, "--yes"], 64, /--reason is missing/);
  await refused(["stuck", "--reason", "r", "--yes"], 64, /is not an entry id/);
  assert.deepEqual(await rig.query("SELECT FROM notification.malformed_intents"), []);

  // The second one has others before it: intake passes over it when it reaches it.
  const later = await jsonOf(rig, ["set-aside", second, "--reason", "user deleted", "--yes"]);
  assert.equal(later.set_aside.is_passed, false);
  const now = await jsonOf(rig, ["set-aside", stuck, "--reason", "user deleted", "--yes"]);
  assert.deepEqual(now.set_aside, {
    stream: "notification:intents",
    stream_entry_id: stuck,
    failure_message: "user deleted",
    has_fields: true,
    is_passed: true,
  });
  await rig.settled({ timeoutMs: 30_000 });
  for (const entryId of [stuck, second]) {
    const row = await codeOf(rig, entryId);
    assert.deepEqual([row?.failure_code, row?.failure_message, row?.raw_fields.length], [
      "set_aside",
      "user deleted",
      7,
    ]);
  }
  for (const entryId of [before, behind, last]) {
    assert.equal((await jsonOf(rig, ["inspect", "intent", entryId])).intent.outcome, "accepted");
  }
  assert.equal((await jsonOf(rig, ["inspect", "intent", stuck])).intent.outcome, "malformed");
  assert.equal((await jsonOf(rig, ["status"])).intent_stream.waits_for, null);
  await refused([stuck, "--reason", "r", "--yes"], 1, /recorded as set_aside/);
  // Each is published once, also those that waited together with the entry that was set aside.
  assert.equal((await rig.query("SELECT FROM notification.records")).length, 3);

  // The key is free.
  rig.users.behaviour = undefined;
  const again = await rig.addIntent({ recipient_user_ids_json: '["fine","stuck"]', idempotency_key: "again" });
  await rig.settled();
  assert.equal((await jsonOf(rig, ["inspect", "intent", again])).intent.outcome, "accepted");
});

Deno.test("on a terminal set-aside asks for a confirmation, and changes nothing without a yes", async () => {
  await using rig = await openRig();
  rig.users.behaviour = () => refuse(503, "overloaded");
  await rig.start();
  const entryId = await rig.addIntent();
  await stalledAt(rig, entryId);
  const answered = async (keys: string) => {
    await using terminal = await Terminal.open(["set-aside", entryId, "--reason", "user's deleted"], { env: rig.env });
    await terminal.shows(({ printed }) => printed.includes("Set this entry aside? [y/N]"));
    await terminal.type(keys);
    return { code: await terminal.exit(), printed: terminal.printed };
  };
  for (const keys of ["n\n", "\n", "\x04"]) {
    const { code, printed } = await answered(keys);
    assert.equal(code, 1, printed);
    assert.match(printed, /nothing was changed/);
    for (const shown of [entryId, "user's deleted", "game.turn.ready", "game-master", '["user-1"]']) {
      assert.ok(printed.includes(shown), `${shown}: ${printed}`);
    }
    assert.deepEqual(await rig.query("SELECT FROM notification.malformed_intents"), []);
    await stalledAt(rig, entryId);
  }
  const { code, printed } = await answered("y\n");
  assert.equal(code, 0, printed);
  assert.match(printed, /is set aside/);
  await rig.settled();
  const row = await codeOf(rig, entryId);
  assert.deepEqual([row?.failure_code, row?.failure_message], ["set_aside", "user's deleted"]);
});

Deno.test("the instance that takes over from a killed consumer passes entries that were set aside before", async () => {
  await using rig = await openRig({ otherUsers: () => ({}) });
  rig.users.behaviour = (id) => id.startsWith("stuck") ? refuse(503, "overloaded") : undefined;
  const consumer = await rig.start();
  await consumer.waitForLog(({ message }) => message === "consuming");
  const standby = await rig.start();
  await standby.waitForLog(({ message }) => message === "standby");
  const first = await rig.addIntent({ recipient_user_ids_json: '["stuck"]' });
  const between = await rig.addIntent();
  const second = await rig.addIntent({ recipient_user_ids_json: '["stuck-2"]' });
  const behind = await rig.addIntent();
  await stalledAt(rig, first);

  // From here on it can't try again.
  consumer.signal("SIGSTOP");
  const setAside = async (entryId: string) =>
    (await jsonOf(rig, ["set-aside", entryId, "--reason", "user deleted", "--yes"])).set_aside.is_passed;
  assert.deepEqual([await setAside(second), await setAside(first)], [false, true]);
  await consumer.kill();

  await rig.settled();
  await standby.waitForLog(({ message }) => message === "consuming");
  for (const entryId of [first, second]) assert.equal((await codeOf(rig, entryId))?.failure_code, "set_aside");
  for (const entryId of [between, behind]) {
    const { intent } = await jsonOf(rig, ["inspect", "intent", entryId]);
    assert.equal(intent.outcome, "accepted");
    assert.deepEqual(intent.routes.map(({ status }: { status: string }) => status), ["published", "published"]);
  }
  assert.deepEqual([(await rig.clientEvents()).length, (await rig.mailCommands()).length], [2, 2]);
});

Deno.test("an entry is not passed over for one of an earlier stream with the same id that was set aside", async () => {
  await using rig = await openRig();
  rig.users.behaviour = () => refuse(503, "overloaded");
  await rig.start();
  const entryId = await rig.addIntent();
  await stalledAt(rig, entryId);
  await rig.query(
    `INSERT INTO notification.malformed_intents
       (stream, stream_entry_id, producer, idempotency_key, failure_code, failure_message, raw_fields, recorded_at)
     VALUES ('notification:intents', $1, 'other', 'other', 'set_aside', 'long ago', '[["producer", "other"]]', now())`,
    [entryId],
  );
  const asked = rig.users.requestedIds.length;
  await eventually(() => rig.users.requestedIds.length >= asked + 2, { timeoutMs: 15_000 });
  rig.users.behaviour = undefined;
  await rig.settled();
  assert.equal((await rig.clientEvents()).length, 1);
});

Deno.test("an entry that PostgreSQL can't accept is found, named, and can be set aside", async () => {
  await using rig = await openRig({ superuser: true });
  const service = await rig.start();
  // An error of an added trigger, which does not look like an error about data.
  await rig.query(`
    CREATE FUNCTION notification.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'not on my watch'; END $$`);
  await rig.query(`
    CREATE TRIGGER refuse BEFORE INSERT ON notification.records FOR EACH ROW WHEN (NEW.idempotency_key = 'poison')
    EXECUTE FUNCTION notification.refuse()`);
  const before = await rig.addIntent();
  const poison = await rig.addIntent({ idempotency_key: "poison" });
  const behind = await rig.addIntent();
  const { waits_for } = await stalledAt(rig, poison);
  assert.deepEqual([waits_for.dependency, waits_for.recipient], ["postgres", null]);
  assert.match(waits_for.reason, /not on my watch/);
  for (const entryId of [poison, behind]) {
    const { intent } = await jsonOf(rig, ["inspect", "intent", entryId]);
    assert.deepEqual([intent.outcome, intent.waits_for.entry_id, intent.waits_for.dependency], [
      "waiting",
      poison,
      "postgres",
    ]);
    assert.match(intent.waits_for.reason, /not on my watch/);
  }
  assert.equal((await jsonOf(rig, ["inspect", "intent", before])).intent.outcome, "accepted");
  assert.equal((await runOn(rig, ["set-aside", poison, "--reason", "a trigger refuses it", "--yes"])).code, 0);
  await rig.settled();
  assert.equal((await codeOf(rig, poison))?.failure_code, "set_aside");
  assert.equal((await jsonOf(rig, ["inspect", "intent", behind])).intent.outcome, "accepted");
  assert.equal(service.exitCode, undefined);
});

Deno.test("set-aside leaves out fields that PostgreSQL refuses, and needs none from Redis", async () => {
  await using rig = await openRig({ superuser: true, env: { NOTIFICATION_REDIS_OPERATION_TIMEOUT: "100ms" } });
  await rig.start();
  await rig.addIntent();
  await rig.settled();
  await rig.query("ALTER TABLE notification.malformed_intents ADD CONSTRAINT refuse CHECK (raw_fields = '[]')");
  // 400 MiB take Redis longer than the service's bound for a command, in intake as well as in the command.
  const huge = await rig.redis.eval(
    `local value = string.rep('x', 100 * 1024 * 1024)
    return redis.call('XADD', KEYS[1], '*', 'producer', 'p', 'a', value, 'b', value, 'c', value, 'd', value)`,
    1,
    rig.intentsStream,
  ) as string;
  const behind = await rig.addIntent();
  // Redis can't even name the next entry without a copy of it.
  for (const [entryId, named] of [[huge, `the entry ${huge}`], [behind, "the next entry"]] as const) {
    await eventually(async () => {
      const { code, stderr } = await runOn(rig, ["inspect", "intent", entryId]);
      assert.equal(code, 69, stderr);
      return stderr.includes(`Redis does not return ${named} of ${rig.intentsStream} in time`) &&
        /intake waits for it too[^]*set-aside/.test(stderr);
    }, { timeoutMs: 60_000 });
  }
  // The command may not even get a connection while Redis reads the entry for the consumer.
  const { stdout } = await eventually(async () => {
    const ran = await runOn(rig, ["set-aside", huge, "--reason", "too large", "--yes", "--json"]);
    assert.ok([0, 69].includes(ran.code), ran.stderr);
    return ran.code === 0 ? ran : undefined;
  }, { timeoutMs: 60_000 });
  assert.deepEqual(JSON.parse(stdout).set_aside.has_fields, false);
  await rig.settled({ timeoutMs: 60_000 });
  const row = await codeOf(rig, huge);
  assert.deepEqual([row?.failure_code, row?.raw_fields], ["set_aside", []]);
  assert.equal((await jsonOf(rig, ["inspect", "intent", behind])).intent.outcome, "accepted");
});
