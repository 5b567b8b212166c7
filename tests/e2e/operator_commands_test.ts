/**
 * The commands for a running service: check, migrate, status, inspect and smoke, each on real servers, with the
 * documented shape of --json and lines that fit a terminal.
 */
import assert from "node:assert/strict";
import { consumerLeaseKey } from "../../src/redis/keys.ts";
import { assertReadable, jsonOf, runOn } from "../support/command.ts";
import { outcomeOf } from "../support/outcome.ts";
import { startRedis } from "../../scripts/servers/redis.ts";
import { isRestricted, OBSERVER } from "../../scripts/servers/restricted.ts";
import { closeRedis, openRedis } from "../support/redis_client.ts";
import { type IntentFields, validIntent } from "../support/intents.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { Environment } from "../support/service_process.ts";
import { testOnOneRig } from "../support/shared_rig.ts";
import { eventually } from "../support/wait.ts";
import { startService } from "../support/service_process.ts";

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly blocks_start: boolean;
}

const UNREACHABLE = "127.0.0.1:1";

const MIGRATIONS = [...Deno.readDirSync(new URL("../../migrations/", import.meta.url))].map(({ name }) => name)
  .toSorted();

Deno.test("check says what run would do, before and after the migrations, and changes nothing", async () => {
  await using rig = await openRig({ superuser: true });
  const before = await runOn(rig, ["check"]);
  assert.equal(before.code, 0, before.stdout);
  assertReadable(before.stdout);
  assert.match(before.stdout, /✓ migrations: (\d+) of \1 pending: run applies them/);
  const notThere = "✓ stream notification:intents: does not exist yet: the first entry creates it";
  assert.ok(before.stdout.includes(notThere), before.stdout);
  // The tests' own Redis keeps nothing on disk: that is a warning, and the service starts.
  assert.match(before.stdout, /✗ redis: Redis persistence is off[^]*run would start; 1 to look at\.$/);
  assert.deepEqual(await rig.query("SELECT FROM pg_namespace WHERE nspname = 'notification'"), []);
  assert.equal(await rig.redis.dbsize(), 0);

  assert.deepEqual(await jsonOf(rig, ["migrate", "up"]), { applied: MIGRATIONS });
  await rig.redis.xadd("gateway:client-events", "1-1", "a", "b");
  await rig.redis.xgroup("CREATE", "gateway:client-events", "gateway", "0");
  await rig.redis.xreadgroup("GROUP", "gateway", "gw-1", "COUNT", 1, "STREAMS", "gateway:client-events", ">");
  const after = await jsonOf(rig, ["check"]);
  assert.equal(after.exit_code, 0);
  assert.deepEqual(after.checks.map(({ name, ok, blocks_start }: Check) => [name, ok, blocks_start]), [
    ["configuration", true, false],
    ["redis", true, false],
    ["redis", false, false],
    ["stream notification:intents", true, false],
    ["stream gateway:client-events", true, false],
    ["stream mail:delivery_commands", true, false],
    ["postgres", true, false],
    ["connections", true, false],
    ["ownership", true, false],
    ["migrations", true, false],
    ["tables", true, false],
    ["user service", true, false],
    ["probe", true, false],
  ]);
  const [events, mail] = after.outbound_streams;
  const { last_reader, ...group } = events.groups[0];
  assert.deepEqual(group, { name: "gateway", consumers: 1, pending: 1, lag: 0, last_delivered_id: "1-1" });
  assert.equal(last_reader.name, "gw-1");
  assert.ok(last_reader.idle_ms >= 0);
  assert.deepEqual(mail, { stream: "mail:delivery_commands", groups: [] });
  assert.match((await runOn(rig, ["check"])).stdout, /group gateway: 1 consumers, 1 pending, 0 behind; last/);
});

Deno.test("check ends as run would, with advice", async () => {
  await using rig = await openRig();
  const refused = await runOn(rig, ["check"], { NOTIFICATION_REDIS_DB: "x" });
  assert.equal(refused.code, 78);
  assert.match(refused.stdout, /✗ configuration: NOTIFICATION_REDIS_DB should be/);

  const noRedis = await runOn(rig, ["check"], { NOTIFICATION_REDIS_MASTER_ADDR: UNREACHABLE });
  assert.equal(noRedis.code, 69);
  assertReadable(noRedis.stdout);
  assert.match(noRedis.stdout, /✗ redis: .*ECONNREFUSED[^]*→ see that Redis runs at 127\.0\.0\.1:1/);
  assert.match(noRedis.stdout, /✓ postgres/);
  const wrongPassword = await runOn(rig, ["check"], { NOTIFICATION_REDIS_PASSWORD: "wrong" });
  assert.match(wrongPassword.stdout, /✗ redis: WRONGPASS[^]*→ let NOTIFICATION_REDIS_PASSWORD be/);

  const dsn = `postgres://nobody:secret@${UNREACHABLE}/none`;
  const noPostgres = await runOn(rig, ["check"], { NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn });
  assert.equal(noPostgres.code, 69);
  assert.match(noPostgres.stdout, /✗ postgres: /);
  assert.doesNotMatch(noPostgres.stdout + noPostgres.stderr, /secret/);

  // The service starts without it, and waits.
  await rig.redis.set("notification:intents", "a string");
  const noUsers = await runOn(rig, ["check"], { NOTIFICATION_USER_SERVICE_BASE_URL: `http://${UNREACHABLE}` });
  assert.equal(noUsers.code, 0, noUsers.stdout);
  assert.match(noUsers.stdout, /✗ user service: it can't be reached/);
  assert.match(noUsers.stdout, /✗ stream notification:intents: the key is a string/);
  assert.match(noUsers.stdout, /run would start; 3 to look at\./);

  await runOn(rig, ["migrate", "up"]);
  await rig.query("INSERT INTO notification.goose_db_version (version_id, is_applied) VALUES (99, true)");
  const newer = await runOn(rig, ["check"]);
  assert.equal(newer.code, 69);
  assert.match(newer.stdout, /✗ migrations: The schema has version 99[^]*→ install/);
});

Deno.test("check tries the probe's address, and compares the role's connection limit with the pool", async () => {
  await using rig = await openRig({ superuser: true });
  using other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const taken = { NOTIFICATION_INTERNAL_HTTP_ADDR: `127.0.0.1:${other.addr.port}` };
  const refused = await endsAsRun(rig, 69, taken);
  assert.match(refused, /✗ probe: can't listen on 127\.0\.0\.1:\d+[^]*→ let NOTIFICATION_INTERNAL_HTTP_ADDR/);
  const service = await rig.start();
  const beside = { NOTIFICATION_INTERNAL_HTTP_ADDR: service.env["NOTIFICATION_INTERNAL_HTTP_ADDR"]! };
  const ours = await runOn(rig, ["check"], beside);
  assert.equal(ours.code, 0, ours.stdout);
  assert.match(ours.stdout, /✓ probe: an instance listens on/);

  const role = `check_${crypto.randomUUID().replaceAll("-", "")}`;
  await rig.query(`CREATE ROLE ${role} LOGIN PASSWORD 'role-password' CONNECTION LIMIT 5 IN ROLE postgres`);
  const url = new URL(rig.dsn);
  Object.assign(url, { username: role, password: "role-password" });
  const limited = await runOn(rig, ["check"], { NOTIFICATION_POSTGRES_PRIMARY_DSN: url.href });
  assert.match(
    limited.stdout,
    /✗ connections: the role grants 5, and the pool may want 10[^]*→ raise the CONNECTION LIMIT/,
  );
  assert.equal(limited.code, 0, limited.stdout);
});

Deno.test("check ends as run would with a DSN that can't be used, and with missing tables", async () => {
  await using rig = await openRig({ superuser: true });
  const certificate = `${rig.dsn}?sslrootcert=/missing`;
  const unusable = await endsAsRun(rig, 78, { NOTIFICATION_POSTGRES_PRIMARY_DSN: certificate });
  assert.match(unusable, /✗ postgres: NOTIFICATION_POSTGRES_PRIMARY_DSN can't be used:\s+its\s+sslrootcert/);

  await runOn(rig, ["migrate", "up"]);
  await rig.query("ALTER TABLE notification.dead_letters RENAME TO gone");
  assert.match(await endsAsRun(rig, 69), /✗ tables: There is no table notification\.dead_letters[^]*→ .*backup/);
  await rig.query("ALTER TABLE notification.gone RENAME TO dead_letters");
  await rig.query("DROP TABLE notification.goose_db_version");
  assert.match(await endsAsRun(rig, 69), /✗ migrations: (\d+) of \1 pending, but there is notification\.dead_letters/);

  await rig.query("DROP SCHEMA notification CASCADE");
  await rig.query("CREATE SCHEMA notification");
  const role = `"check ${crypto.randomUUID()}"`;
  await rig.query(`CREATE ROLE ${role} LOGIN PASSWORD 'role-password'`);
  try {
    const dsn = Object.assign(new URL(rig.dsn), { username: role.slice(1, -1), password: "role-password" }).href;
    const env = { NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn };
    assert.match(flat(await endsAsRun(rig, 69, env)), /→ have an administrator run GRANT CREATE, USAGE ON SCHEMA/);
    await rig.query("DROP SCHEMA notification");
    const advice = `→ have an administrator run CREATE SCHEMA notification AUTHORIZATION ${role}`;
    assert.ok(flat(await endsAsRun(rig, 69, env)).includes(advice));
  } finally {
    await rig.query(`DROP ROLE ${role}`);
  }
});

Deno.test("check ends as run would if the Redis user has too few rights, and writes nothing", async () => {
  const password = "check-rights";
  const administrator = ["--user", OBSERVER, "on", `>${password}`, "~*", "&*", "+@all"];
  await using redisServer = await startRedis({ password, args: isRestricted() ? [] : administrator });
  await using rig = await openRig({ redisServer });
  await runOn(rig, ["migrate", "up"]);
  const observer = await openRedis(redisServer, { username: OBSERVER });
  try {
    for (const command of ["xadd", "set", "xdel", "del", "get", "time", "pexpire", "wait", "info", "evalsha"]) {
      await observer.call("ACL", "SETUSER", "default", `-${command}`);
      assert.match(await endsAsRun(rig, 69), /✗ redis: [^]*→ see that the user default has/, command);
      await observer.call("ACL", "SETUSER", "default", `+${command}`);
    }
    await observer.call("FLUSHALL");
    assert.equal((await runOn(rig, ["check"])).code, 0);
    assert.equal(await observer.call("DBSIZE"), 0);

    // A right that only check needs.
    await observer.xadd("gateway:client-events", "1-1", "a", "b");
    await observer.call("ACL", "SETUSER", "default", "-xinfo", "+xinfo|stream", "-xlen");
    const little = await endsAsRun(rig, 0);
    assert.match(little, /✓ redis: a master/);
    assert.match(little, /✗ stream gateway:client-events: could not be looked at/);
    await observer.call("ACL", "SETUSER", "default", "+xlen");
    assert.match(await endsAsRun(rig, 0), /✗ readers of gateway:client-events: could not be looked at/);
    await observer.call("ACL", "SETUSER", "default", "-type");
    assert.match(await endsAsRun(rig, 0), /✗ stream mail:delivery_commands: could not be looked at/);
  } finally {
    await closeRedis(observer);
  }
});

Deno.test("check and migrate end with 69 and advice if a server is unsuitable", async () => {
  await using rig = await openRig({ superuser: true });
  const database = new URL(rig.dsn).pathname.slice(1);
  await rig.query(`ALTER DATABASE "${database}" SET default_transaction_read_only = on`);
  assert.match(
    flat(await endsAsRun(rig, 69)),
    /✗ postgres: PostgreSQL takes no writes.*→ turn default_transaction_read/,
  );
  for (const action of ["up", "status"]) {
    const { code, stderr } = await runOn(rig, ["migrate", action]);
    assert.equal(code, 69, stderr);
    assert.match(
      stderr,
      /^notification-service migrate: PostgreSQL takes no writes: default_transaction_read_only is on$/m,
    );
    assert.doesNotMatch(stderr, /^\s+at /m);
  }

  const ascii = `${database}_ascii`;
  await rig.query("SET default_transaction_read_only = off");
  await rig.query(`CREATE DATABASE "${ascii}" ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`);
  try {
    const env = { NOTIFICATION_POSTGRES_PRIMARY_DSN: Object.assign(new URL(rig.dsn), { pathname: `/${ascii}` }).href };
    assert.match(flat(await endsAsRun(rig, 69, env)), /must be encoded in UTF8, it is in SQL_ASCII.*→ make a database/);
    assert.equal((await runOn(rig, ["migrate", "up"], env)).code, 69);
  } finally {
    await rig.query(`DROP DATABASE "${ascii}"`);
  }

  await using evicting = await startRedis({ args: ["--maxmemory-policy", "allkeys-lru"] });
  const env = {
    NOTIFICATION_REDIS_MASTER_ADDR: evicting.addr,
    NOTIFICATION_REDIS_PASSWORD: evicting.password,
    NOTIFICATION_REDIS_DB: "0",
  };
  const { code, stdout } = await runOn(rig, ["check"], env);
  assert.equal(code, 69);
  assert.match(flat(stdout), /→ CONFIG SET maxmemory-policy noeviction/);
});

Deno.test("migrate shows, applies and rolls back, the last only with --yes", async () => {
  await using rig = await openRig();
  const pending = await jsonOf(rig, ["migrate", "status"]);
  assert.deepEqual(
    pending.migrations,
    MIGRATIONS.map((name, at) => ({ version: at + 1, name, applied_at: null })),
  );
  assert.equal((await runOn(rig, ["migrate", "up"])).stdout, MIGRATIONS.map((name) => `Applied ${name}`).join("\n"));
  assert.equal((await runOn(rig, ["migrate", "up"])).stdout, "Nothing to apply.");
  const { stdout } = await runOn(rig, ["migrate", "status"]);
  assert.match(
    stdout,
    /^ {2}VERSION {2}APPLIED +NAME\n {2}1 +(just now|\d+ s ago) +00001_create_notification_schema.sql\n/,
  );

  assert.equal((await runOn(rig, ["migrate", "down"])).code, 64);
  assert.equal((await rig.query("SELECT FROM notification.records")).length, 0);
  for (const name of MIGRATIONS.toReversed()) {
    assert.deepEqual(await jsonOf(rig, ["migrate", "down", "--yes"]), { rolled_back: name });
  }
  const status = await runOn(rig, ["status"]);
  assert.equal(status.code, 69);
  assert.match(status.stderr, /the schema does not exist yet: notification-service migrate up creates it/);
});

testOnOneRig("Operators' commands beside a running service", {
  env: {
    NOTIFICATION_ROUTE_BACKOFF_MIN: "1h",
    NOTIFICATION_ROUTE_BACKOFF_MAX: "1h",
    NOTIFICATION_EMAIL_RETRY_MAX_ATTEMPTS: "1",
  },
}, {
  "status has its documented shape": async ({ rig }) => {
    await rig.addIntent();
    await rig.settled();
    const status = await jsonOf(rig, ["status"]);
    const [instance] = status.instances;
    assert.match(instance.id, /^[0-9a-f-]{36}$/);
    assert.deepEqual(status, {
      intent_stream: {
        lag: 0,
        next_entry_id: null,
        oldest_age_ms: 0,
        stalled_ms: 0,
        waits_for: null,
        ids_ahead_ms: 0,
      },
      channels: {
        push: { depth: 0, oldest_age_ms: 0, published_up_to: (await rig.clientEvents()).at(-1)?.entryId },
        email: { depth: 0, oldest_age_ms: 0, published_up_to: (await rig.mailCommands()).at(-1)?.entryId },
      },
      routes: { pending: 0, failed: 0, published: 2, dead_letter: 0, skipped: 0 },
      dead_letters_last_hour: 0,
      repairs: [],
      instances: [{ id: instance.id, consuming: true }],
    });
    const { stdout } = await runOn(rig, ["status"]);
    assertReadable(stdout);
    assert.match(stdout, new RegExp(`  ${instance.id}  consumes`));
    assert.doesNotMatch(stdout, /Repairs/);
  },

  "smoke follows its intent to the outbound stream": async ({ rig }) => {
    const smoke = await jsonOf(rig, ["smoke", "--user-id", "user-1"]);
    assert.equal(smoke.ok, true);
    assert.deepEqual(smoke.steps.map(({ step }: { step: string }) => step), [
      "sent",
      "accepted",
      "published",
      "seen in the outbound stream",
    ]);
    const times: number[] = smoke.steps.map(({ at_ms }: { at_ms: number }) => at_ms);
    assert.deepEqual(times, [...times].sort((a, b) => a - b));
    const events = await rig.clientEvents();
    const event = events.find(({ entryId }) => entryId === smoke.outbound_entry_id);
    assert.equal(event?.fields["event_type"], "notification.smoke_test");

    const text = await runOn(rig, ["smoke", "--user-id", "user-1"]);
    assertReadable(text.stdout);
    assert.match(text.stdout, / accepted +[0-9a-f-]{36}\n[^]*✓ It arrived\.$/);
    const unknown = await jsonOf(rig, ["smoke", "--user-id", "nobody"], { code: 1 });
    assert.match(unknown.problem, /^recipient_not_found: /);
  },

  "smoke refuses production without --yes": async ({ rig }) => {
    const production = { NOTIFICATION_ENVIRONMENT: "production" };
    const length = await rig.redis.xlen(rig.intentsStream);
    const refused = await runOn(rig, ["smoke", "--user-id", "user-1"], production);
    assert.equal(refused.code, 64);
    assert.equal(await rig.redis.xlen(rig.intentsStream), length);
    assert.equal((await jsonOf(rig, ["smoke", "--user-id", "user-1", "--yes"], { env: production })).ok, true);
  },

  "inspect intent shows the whole story, by each of its ids": async ({ rig }) => {
    const entryId = await rig.addIntent({ idempotency_key: "turn/\x1b[31m\x9b\u202e12", request_id: "r-1" });
    await rig.settled();
    const { record } = await outcomeOf(rig, entryId);
    const { intent } = await jsonOf(rig, ["inspect", "intent", entryId]);
    assert.equal(intent.outcome, "accepted");
    assert.equal(intent.entry.fields.request_id, "r-1");
    assert.equal(intent.record.notification_id, record?.notification_id);
    assert.equal(intent.route_count, 2);
    for (const route of intent.routes) {
      assert.equal(route.status, "published");
      assert.equal(route.outbound_entry.id, route.published_entry_id);
      assert.equal(route.lease.value, `published:${route.published_entry_id}`);
    }
    assertShape(intent, {
      outcome: "",
      entry: { id: "", fields: {} },
      record: {
        ...{ notification_id: "", notification_type: "", producer: "", audience_kind: "", idempotency_key: "" },
        ...{
          stream: "",
          stream_entry_id: "",
          request_id: "",
          trace_id: null,
          payload: "",
          occurred_at: "",
          accepted_at: "",
        },
      },
      malformed: null,
      waits_for: null,
      routes: Array(2).fill({
        ...{ route_id: "", channel: "", status: "", attempt_count: 0, max_attempts: 0, next_attempt_at: null },
        ...{ last_error_classification: null, last_error_message: null, published_entry_id: "", updated_at: "" },
        lease: { value: "", ttl_ms: 0 },
        outbound_entry: { id: "", fields: {} },
      }),
      route_count: 0,
    });
    for (const key of [record!.notification_id, "game-master/turn/\x1b[31m\x9b\u202e12"]) {
      const found = (await jsonOf(rig, ["inspect", "intent", key])).intent;
      assert.equal(found.entry.id, entryId);
    }
    const { stdout } = await runOn(rig, ["inspect", "intent", entryId]);
    assertReadable(stdout);
    assert.match(stdout, / {2}outcome +accepted\n {2}entry /);
    assert.match(stdout, /key +turn\/\\u001b\[31m\\u009b\\u202e12/);
    const unknown = await runOn(rig, ["inspect", "intent", "1-1"]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stdout, /no trace of it/);
  },

  "inspect intent shows malformed and duplicate entries": async ({ rig }) => {
    await rig.addIntent({ idempotency_key: "twice" });
    const duplicate = await rig.addIntent({ idempotency_key: "twice" });
    const malformed = await rig.addIntent({ occurred_at_ms: "soon" });
    await rig.settled();
    assert.equal((await jsonOf(rig, ["inspect", "intent", duplicate])).intent.outcome, "duplicate");
    const { intent } = await jsonOf(rig, ["inspect", "intent", malformed]);
    assert.equal(intent.outcome, "malformed");
    assert.equal(intent.malformed.failure_code, "invalid_occurred_at");
    assertShape(intent, {
      ...{ outcome: "", entry: { id: "", fields: {} }, record: null, routes: [], route_count: 0 },
      malformed: MALFORMED_SHAPE,
      waits_for: null,
    });
    const { stdout } = await runOn(rig, ["inspect", "intent", malformed]);
    assert.match(stdout, /code +invalid_occurred_at[^]* producer +game-master\n/);
    const { idempotency_key } = intent.malformed;
    const byName = (await jsonOf(rig, ["inspect", "intent", `game-master/${idempotency_key}`])).intent;
    assert.deepEqual(byName.malformed, intent.malformed);
    assert.equal(byName.entry.id, malformed);
  },

  "inspect intent prefers the configured stream": async ({ rig }) => {
    const other = { NOTIFICATION_INTENTS_STREAM: "in:other" };
    await using consumer = await rig.spawn(other);
    await consumer.ready();
    const fields = (changes: IntentFields) =>
      Object.entries(validIntent(changes)).flatMap(([name, value]) => [name, String(value)]);
    const [id, onlyThere, waiting] = [1, 2, 3].map((ms) => `${Date.now() + ms}-7`) as [string, string, string];
    // One after the other, so that the order of rows can't be right by chance.
    const add = async (stream: string, entryId: string, changes: IntentFields) => {
      await rig.redis.xadd(stream, entryId, ...fields({ idempotency_key: `${stream} ${entryId}`, ...changes }));
      await eventually(async () =>
        (await jsonOf(rig, ["status"], { env: { NOTIFICATION_INTENTS_STREAM: stream } }))
          .intent_stream.lag === 0
      );
    };
    await add("in:other", id, {});
    await add(rig.intentsStream, id, {});
    await add("in:other", onlyThere, { occurred_at_ms: "soon" });
    await add(rig.intentsStream, waiting, { occurred_at_ms: "soon" });
    await add("in:other", waiting, {});
    const found = async (key: string, env: Environment = {}) =>
      (await jsonOf(rig, ["inspect", "intent", key], { env })).intent;
    for (const [stream, env] of [[rig.intentsStream, {}], ["in:other", other]] as const) {
      const { record, entry } = await found(id, env);
      assert.equal(record.stream, stream);
      assert.equal(entry.fields.idempotency_key, `${stream} ${id}`);
    }
    assert.deepEqual(
      await Promise.all([found(onlyThere), found(waiting), found(waiting, other)].map(async (story) => {
        const { outcome, malformed, record } = await story;
        return [outcome, malformed?.stream ?? record.stream];
      })),
      [["malformed", "in:other"], ["malformed", rig.intentsStream], ["accepted", "in:other"]],
    );
  },

  "inspect malformed --json prints rows one by one, however large they are together": async ({ rig }) => {
    await rig.query(
      `INSERT INTO notification.malformed_intents
       SELECT now(), $1, '7-' || n, NULL, 'large', NULL, 'invalid_fields', 'm',
         jsonb_build_array(jsonb_build_array('a', (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 3000))))
       FROM generate_series(1, 300) AS n`,
      [rig.intentsStream],
    );
    const { malformed } = await jsonOf(rig, ["inspect", "malformed", "--producer", "large", "--limit", "1000"]);
    assert.equal(malformed.length, 300);
    assert.deepEqual(Object.keys(malformed[0]).sort(), Object.keys(MALFORMED_SHAPE).sort());
    assert.ok(malformed.every((row: { raw_fields: [[string, string]] }) => row.raw_fields[0][1].length === 96_000));
    assert.deepEqual(await jsonOf(rig, ["inspect", "malformed", "--producer", "none"]), { malformed: [] });
    await rig.query("DELETE FROM notification.malformed_intents WHERE producer = 'large'");
  },

  "inspect malformed filters, newest first, and finds rows near an entry": async ({ rig }) => {
    const ids: string[] = [];
    for (const producer of ["a", "b", "c", "d"]) ids.push(await rig.addIntent({ producer }));
    await rig.settled();
    const entries = async (...args: string[]) =>
      (await jsonOf(rig, ["inspect", "malformed", ...args])).malformed
        .map((row: { stream_entry_id: string }) => row.stream_entry_id);
    assert.deepEqual(await entries("--classification", "producer_not_allowed", "--limit", "2"), [ids[3], ids[2]]);
    assert.deepEqual(await entries("--producer", "b", "--type", "game.turn.ready", "--since", "1h"), [ids[1]]);
    assert.deepEqual(await entries("--near", ids[0]!, "--producer", "a"), [ids[0]]);
    // Entries of one millisecond, recorded at once in reverse order.
    const near = ["5-1", "5-2", "5-9", "5-3", "4-7"];
    await rig.query(
      `INSERT INTO notification.malformed_intents (stream, stream_entry_id, failure_code, failure_message, raw_fields, recorded_at)
       SELECT $1, id, 'invalid_fields', 'm', '[]', now() - place * interval '1 s'
       FROM unnest($2::text[]) WITH ORDINALITY AS given (id, place)`,
      [rig.intentsStream, near],
    );
    assert.deepEqual(await entries("--near", "5-9", "--limit", "1"), ["5-9"]);
    assert.deepEqual(await entries("--near", "5-2", "--limit", "3"), ["5-1", "5-2", "5-3"]);
    assert.deepEqual(await entries("--near", "4-0", "--limit", "1"), ["4-7"]);
    await rig.query("DELETE FROM notification.malformed_intents WHERE stream_entry_id = ANY ($1)", [near]);
    const [row] = (await jsonOf(rig, ["inspect", "malformed"])).malformed;
    assertShape(row, MALFORMED_SHAPE);
    assert.deepEqual(await entries("--since", "2100-01-01T00:00:00Z"), []);
    const { stdout } = await runOn(rig, ["inspect", "malformed"]);
    assertReadable(stdout);
    assert.match(stdout, /^ {2}RECORDED +CODE +ENTRY\n/);
    assert.ok(stdout.includes(ids[3]!));
    assert.equal((await runOn(rig, ["inspect", "malformed", "--type", "none"])).stdout, "  none");
  },

  "inspect routes and dead-letters show what failed": async ({ rig }) => {
    await rig.redis.del("mail:delivery_commands");
    await rig.redis.set("mail:delivery_commands", "not a stream");
    const before = await rig.clientEvents();
    const entryId = await rig.addIntent();
    await rig.settled();
    assert.equal((await rig.clientEvents()).length, before.length + 1);
    const { record } = await outcomeOf(rig, entryId);
    const { dead_letters } = await jsonOf(rig, [
      "inspect",
      "dead-letters",
      "--since",
      "1h",
      "--producer",
      "game-master",
    ]);
    assert.equal(dead_letters[0].notification_id, record?.notification_id);
    assert.equal(dead_letters[0].failure_classification, "mail_stream_publish_failed");
    const { routes } = await jsonOf(rig, ["inspect", "routes", "--classification", "mail_stream_publish_failed"]);
    assert.deepEqual(routes.map((route: { route_id: string }) => route.route_id), ["email:user:user-1"]);
    assert.equal(
      (await jsonOf(rig, ["inspect", "routes", "--limit", "1"])).routes[0].notification_id,
      record?.notification_id,
    );
    assert.deepEqual((await jsonOf(rig, ["inspect", "routes", "--since", "2100-01-01T00:00:00Z"])).routes, []);
    assert.equal((await jsonOf(rig, ["status"])).dead_letters_last_hour, 1);
    assertShape(dead_letters[0], {
      ...{ notification_id: "", route_id: "", channel: "", recipient: "", attempt_count: 0, max_attempts: 0 },
      ...{ failure_classification: "", failure_message: "", created_at: "", notification_type: "", producer: "" },
    });
    assertShape(routes[0], {
      ...{ notification_id: "", route_id: "", channel: "", recipient: "", recipient_email: "", locale: "", status: "" },
      ...{ attempt_count: 0, max_attempts: 0, next_attempt_at: null, last_error_classification: "" },
      ...{ last_error_message: "", published_entry_id: null, created_at: "", updated_at: "" },
      ...{ notification_type: "", producer: "" },
    });
    // Long names: the ids stay whole, the lines keep to the terminal.
    const recipient = `user-${"x".repeat(40)}`;
    const type = `lobby.${"very-long-".repeat(20)}name`;
    await rig.query("UPDATE notification.records SET notification_type = $1", [type]);
    await rig.query(
      `INSERT INTO notification.routes SELECT (jsonb_populate_record(route, jsonb_build_object('route_id', $1::text))).*
       FROM notification.routes AS route WHERE notification_id = $2 AND channel = 'email'`,
      [`email:user:${recipient}`, record?.notification_id],
    );
    for (const args of [["routes", "--limit", "3"], ["intent", entryId]]) {
      const { stdout } = await runOn(rig, ["inspect", ...args]);
      assertReadable(stdout);
      assert.match(stdout, new RegExp(`^ {6}email:user:${recipient}$`, "m"));
    }
    const dead = await runOn(rig, ["inspect", "dead-letters"]);
    assertReadable(dead.stdout);
    assert.match(dead.stdout, /^ {6}email:user:user-1$/m);
    await rig.redis.del("mail:delivery_commands");
  },

  "healthcheck asks the instance on the same machine": async ({ rig, service }) => {
    const { NOTIFICATION_INTERNAL_HTTP_ADDR } = service.env;
    const ready = await runOn(rig, ["healthcheck"], {
      NOTIFICATION_INTERNAL_HTTP_ADDR: NOTIFICATION_INTERNAL_HTTP_ADDR!,
    });
    assert.deepEqual([ready.code, ready.stdout], [0, '{"status":"ready"}']);
    // A proxy must not be used for this machine.
    const proxy = `http://${UNREACHABLE}`;
    const proxied = await runOn(rig, ["healthcheck"], {
      NOTIFICATION_INTERNAL_HTTP_ADDR: NOTIFICATION_INTERNAL_HTTP_ADDR!,
      ...{ HTTP_PROXY: proxy, http_proxy: proxy, ALL_PROXY: proxy, all_proxy: proxy },
    });
    assert.deepEqual([proxied.code, proxied.stdout], [0, '{"status":"ready"}'], proxied.stderr);
    const none = await runOn(rig, ["healthcheck"], { NOTIFICATION_INTERNAL_HTTP_ADDR: UNREACHABLE });
    assert.equal(none.code, 1);
    assert.match(none.stderr, /no answer from http:\/\/127\.0\.0\.1:1\/readyz/);
  },

  "status --watch continues until a signal ends it": async ({ rig }) => {
    await using watching = await startService(rig.env, { args: ["status", "--watch"] });
    await eventually(() => watching.stdout.split("Intents").length > 2);
    const { code } = await watching.terminate();
    assert.equal(code, 0);
    assertReadable(watching.stdout);
  },
});

Deno.test("status shows every instance, whatever its id's length", async () => {
  await using rig = await openRig();
  const [first, second] = ["north", "south"].map((name) => `${name}-${"of-the-river-".repeat(5)}${name}`) as [
    string,
    string,
  ];
  const withId = (id: string) => ({ OTEL_RESOURCE_ATTRIBUTES: `service.instance.id=${id}` });
  const consumer = await rig.start(withId(first));
  await consumer.waitForLog((line) => line.message === "consuming");
  await rig.start(withId(second));
  const { instances } = await jsonOf(rig, ["status"]);
  // The lease has the consumer's whole id, with that of its process; what PostgreSQL shows of a name is its last 42
  // characters.
  const holder = await rig.redis.get(consumerLeaseKey("notification:intents")) ?? "";
  assert.match(holder, new RegExp(`^${first}/[0-9a-f]{8}$`));
  assert.equal(instances.length, 2);
  const byRole = (wanted: boolean) =>
    instances.find(({ consuming }: { consuming: boolean }) => consuming === wanted)?.id;
  assert.equal(byRole(true), holder);
  assert.match(byRole(false), new RegExp(`^${second.slice(-33)}/[0-9a-f]{8}$`));
  assertReadable((await runOn(rig, ["status"])).stdout);
});

Deno.test("status shows what waits when no instance runs", async () => {
  await using rig = await openRig();
  await runOn(rig, ["migrate", "up"]);
  const first = await rig.addIntent();
  await rig.addIntent();
  const status = await jsonOf(rig, ["status"]);
  const { oldest_age_ms, stalled_ms, ...rest } = status.intent_stream;
  assert.deepEqual(rest, { lag: 2, next_entry_id: first, waits_for: null, ids_ahead_ms: 0 });
  assert.ok(stalled_ms > 0 && stalled_ms <= oldest_age_ms, `${stalled_ms} of ${oldest_age_ms}`);
  assert.deepEqual(status.instances, []);
  assert.equal((await jsonOf(rig, ["inspect", "intent", first])).intent.outcome, "waiting");
  const smoke = await jsonOf(rig, ["smoke", "--user-id", "user-1", "--timeout", "50ms"], { code: 1 });
  assert.match(smoke.problem, /no instance has accepted it in time/);
});

/** Returns the output of `check`; its exit code must be the announced one, and the one of `run` (0: it starts). */
async function endsAsRun(rig: Rig, code: number, env: Environment = {}): Promise<string> {
  const { code: ended, stdout } = await runOn(rig, ["check"], env);
  assert.equal(ended, code, stdout);
  assertReadable(stdout);
  const service = await rig.spawn(env);
  if (code === 0) await (await service.ready()).terminate();
  else assert.equal(await service.exit(), code, service.output());
  return stdout;
}

const MALFORMED_SHAPE = {
  ...{ stream: "", stream_entry_id: "", notification_type: "", producer: "", idempotency_key: "" },
  ...{ failure_code: "", failure_message: "", raw_fields: [], recorded_at: "" },
};

/** The same members, of the same kinds; what is in an empty object or array doesn't matter. */
function assertShape(value: unknown, shape: unknown): void {
  const shapeOf = (value: unknown, like: unknown): unknown => {
    if (value === null || typeof value !== "object") return value === null ? null : typeof value;
    if (Array.isArray(value)) {
      const likes = Array.isArray(like) && like.length > 0 ? like : undefined;
      return likes === undefined ? [] : value.map((each, at) => shapeOf(each, likes[at]));
    }
    const likes = typeof like === "object" && like !== null ? Object.entries(like) : [];
    if (likes.length === 0) return {};
    const kinds = new Map(likes);
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, shapeOf(each, kinds.get(name))]));
  };
  assert.deepEqual(shapeOf(value, shape), shapeOf(shape, shape));
}

/** Joins text that was wrapped for a terminal. */
function flat(text: string): string {
  return text.replace(/\s+/g, " ");
}
