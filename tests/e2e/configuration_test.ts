/**
 * The environment of the service: every problem at once and exit code 78, warnings, secrets from files, and no secret
 * in any output (docs/contract.md, section 1).
 */
import assert from "node:assert/strict";
import { freePort } from "../../scripts/servers/free_port.ts";
import { type Environment, serviceCommand, startService } from "../support/service_process.ts";
import { outcomeOf } from "../support/outcome.ts";
import { openRig } from "../support/rig.ts";

const COMPLETE: Environment = {
  NOTIFICATION_REDIS_MASTER_ADDR: "127.0.0.1:1",
  NOTIFICATION_REDIS_PASSWORD: "redis-secret",
  NOTIFICATION_POSTGRES_PRIMARY_DSN: "postgres://user:postgres-secret@127.0.0.1:1/database",
  NOTIFICATION_USER_SERVICE_BASE_URL: "http://127.0.0.1:1",
};

/** All wrong, each on its own. */
const WRONG: Environment = {
  NOTIFICATION_REDIS_MASTER_ADDR: "localhost",
  NOTIFICATION_REDIS_PASSWORD: "",
  NOTIFICATION_REDIS_DB: "-1",
  NOTIFICATION_REDIS_OPERATION_TIMEOUT: "2",
  NOTIFICATION_REDIS_WAIT_REPLICAS: "one",
  NOTIFICATION_POSTGRES_PRIMARY_DSN: "mysql://user:postgres-secret@127.0.0.1/database",
  NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "0s",
  NOTIFICATION_POSTGRES_MAX_OPEN_CONNS: "3",
  NOTIFICATION_STARTUP_TIMEOUT: "-1s",
  NOTIFICATION_SHUTDOWN_TIMEOUT: "5 s",
  NOTIFICATION_INTERNAL_HTTP_ADDR: "127.0.0.1:99999",
  NOTIFICATION_INTENTS_BATCH_SIZE: "0",
  NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "soon",
  NOTIFICATION_USER_SERVICE_BASE_URL: "ftp://example.com",
  NOTIFICATION_USER_SERVICE_TIMEOUT: "1e3ms",
  NOTIFICATION_USER_SERVICE_MAX_CONCURRENCY: "0",
  NOTIFICATION_USER_SERVICE_CACHE_TTL: "-5s",
  NOTIFICATION_GATEWAY_CLIENT_EVENTS_STREAM_MAX_LEN: "1.5",
  NOTIFICATION_PUBLISH_BATCH_SIZE: "many",
  NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "0",
  NOTIFICATION_EMAIL_RETRY_MAX_ATTEMPTS: "-1",
  NOTIFICATION_ROUTE_BACKOFF_MIN: "1",
  NOTIFICATION_ROUTE_BACKOFF_MAX: "5minutes",
  NOTIFICATION_ROUTE_LEASE_TTL: "59m",
  NOTIFICATION_RECORD_RETENTION: "30d",
  NOTIFICATION_MALFORMED_INTENT_RETENTION: "1h30",
  NOTIFICATION_CLEANUP_INTERVAL: "0s",
  NOTIFICATION_CATALOG_FILE: "/no/such/file.json",
  NOTIFICATION_LOG_LEVEL: "loud",
  NOTIFICATION_LOG_FORMAT: "xml",
  NOTIFICATION_REDIS_USERNAME: "",
  NOTIFICATION_REDIS_TLS_ENABLED: "false",
};

Deno.test("all problems are reported at once, one line each", async () => {
  const { code, lines } = await run(WRONG);
  assert.equal(code, 78);
  for (const name of Object.keys(WRONG)) {
    assert.equal(
      lines.filter((line) => new RegExp(`^${name}\\b`).test(line)).length,
      1,
      `${name} in\n${lines.join("\n")}`,
    );
  }
  assert.ok(!lines.join("\n").includes("postgres-secret"));
});

Deno.test("a missing required variable is named", async () => {
  const { code, lines } = await run({});
  assert.equal(code, 78);
  for (const name of Object.keys(COMPLETE)) assert.equal(lines.filter((line) => line.includes(name)).length, 1, name);
});

/** The expected part of the output when this is added to a good configuration. */
const REFUSED: readonly (readonly [Environment, RegExp])[] = [
  [{ NOTIFICATION_REDIS_USERNAME: "" }, /NOTIFICATION_REDIS_USERNAME.*deprecated/],
  [{ NOTIFICATION_REDIS_TLS_ENABLED: "false" }, /NOTIFICATION_REDIS_TLS_ENABLED.*deprecated/],
  [{ NOTIFICATION_ROUTE_BACKOFF_MIN: "2s", NOTIFICATION_ROUTE_BACKOFF_MAX: "1s" }, /BACKOFF_MIN.*BACKOFF_MAX/],
  [
    { NOTIFICATION_INTENTS_STREAM: "same", NOTIFICATION_GATEWAY_CLIENT_EVENTS_STREAM: "same" },
    /NOTIFICATION_INTENTS_STREAM.*NOTIFICATION_GATEWAY_CLIENT_EVENTS_STREAM/,
  ],
  [
    { NOTIFICATION_MAIL_DELIVERY_COMMANDS_STREAM: "other", NOTIFICATION_GATEWAY_CLIENT_EVENTS_STREAM: "other" },
    /NOTIFICATION_GATEWAY_CLIENT_EVENTS_STREAM.*NOTIFICATION_MAIL_DELIVERY_COMMANDS_STREAM/,
  ],
  [
    { NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "6s", NOTIFICATION_REDIS_OPERATION_TIMEOUT: "2s" },
    /POSTGRES_OPERATION_TIMEOUT.*REDIS_OPERATION_TIMEOUT/,
  ],
  [{ NOTIFICATION_ADMIN_EMAILS_GAME_TURN_READY: "ops@example.com" }, /^NOTIFICATION_ADMIN_EMAILS_GAME_TURN_READY/],
  [{ NOTIFICATION_ADMIN_EMAILS_NO_SUCH_TYPE: "ops@example.com" }, /^NOTIFICATION_ADMIN_EMAILS_NO_SUCH_TYPE/],
  ...["Ops <ops@example.com>", "ops", "a b@example.com", "ops@example.com,,x@example.com", "<ops@example.com>"].map(
    (list) =>
      [
        { NOTIFICATION_ADMIN_EMAILS_GAME_GENERATION_FAILED: list },
        /^NOTIFICATION_ADMIN_EMAILS_GAME_GENERATION_FAILED/,
      ] as const,
  ),
  [
    { NOTIFICATION_REDIS_PASSWORD: "redis-secret", NOTIFICATION_REDIS_PASSWORD_FILE: "/etc/hostname" },
    /NOTIFICATION_REDIS_PASSWORD_FILE/,
  ],
  [
    { NOTIFICATION_POSTGRES_PRIMARY_DSN: "postgres://h/d", NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE: "/etc/hostname" },
    /NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE/,
  ],
  // A text that does not parse may still contain a password.
  [{ NOTIFICATION_POSTGRES_PRIMARY_DSN: "postgres://user:postgres-secret@host:port/db" }, /POSTGRES_PRIMARY_DSN/],
  [{ NOTIFICATION_POSTGRES_PRIMARY_DSN: "user:postgres-secret@host/db" }, /POSTGRES_PRIMARY_DSN/],
  [{ NOTIFICATION_POSTGRES_PRIMARY_DSN: "host=h user=u password=postgres-secret" }, /POSTGRES_PRIMARY_DSN/],
  [{ NOTIFICATION_POSTGRES_PRIMARY_DSN: "postgres://u:postgres-secret@[::1/db" }, /POSTGRES_PRIMARY_DSN/],
  [{ NOTIFICATION_USER_SERVICE_BASE_URL: "http://u:postgres-secret@host:port" }, /USER_SERVICE_BASE_URL/],
  [{ NOTIFICATION_REDIS_MASTER_ADDR: "redis://:redis-secret@host:6379" }, /REDIS_MASTER_ADDR/],
  [{ NOTIFICATION_REDIS_MASTER_ADDR: "::1:6379" }, /REDIS_MASTER_ADDR/],
];

Deno.test("inconsistent and deprecated variables and incomplete secrets are refused", async () => {
  const results = await Promise.all(
    sideBySide(REFUSED).map(async (group) => {
      const changes = Object.assign({}, ...group.map(([changes]) => changes));
      return { group, ...await run({ ...COMPLETE, ...changes }) };
    }),
  );
  for (const { group, code, lines } of results) {
    const output = lines.join("\n");
    assert.equal(code, 78, output);
    for (const [, expected] of group) {
      assert.equal(lines.filter((line) => expected.test(line)).length, 1, `${expected} in\n${output}`);
    }
    assert.ok(!/-secret/.test(output), output);
  }
});

Deno.test("an unknown variable is warned about with the nearest known name, and the service runs", async () => {
  await using rig = await openRig({
    env: { NOTIFICATION_INTENT_BATCHSIZE: "5", NOTIFICATION_SOMETHING_ELSE_ENTIRELY: "x", OTHER: "x" },
  });
  const service = await rig.start();
  const named = (name: string) => service.waitForLog((line) => JSON.stringify(line).includes(name));
  const line = await named("NOTIFICATION_INTENT_BATCHSIZE");
  assert.equal(line.level, "warn");
  assert.match(JSON.stringify(line), /NOTIFICATION_INTENTS_BATCH_SIZE/);
  assert.equal((await named("NOTIFICATION_SOMETHING_ELSE_ENTIRELY")).level, "warn");
  assert.ok(!service.output().includes("OTHER"));
});

Deno.test("secrets may come from files, and streams, batches and addresses from variables", async () => {
  await using folder = await temporaryFolder();
  await using rig = await openRig({
    env: {
      NOTIFICATION_INTENTS_STREAM: "in:☃",
      NOTIFICATION_GATEWAY_CLIENT_EVENTS_STREAM: "push:out",
      NOTIFICATION_MAIL_DELIVERY_COMMANDS_STREAM: "mail:out",
      NOTIFICATION_INTENTS_BATCH_SIZE: "1",
      NOTIFICATION_PUBLISH_BATCH_SIZE: "1",
      NOTIFICATION_GATEWAY_CLIENT_EVENTS_STREAM_MAX_LEN: "10",
      NOTIFICATION_ROUTE_LEASE_TTL: "1h",
      NOTIFICATION_LOG_LEVEL: "",
    },
  });
  const { NOTIFICATION_REDIS_PASSWORD: password, NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn, ...env } = rig.env;
  await Deno.writeTextFile(`${folder.path}/password`, `${password}\n`);
  await Deno.writeTextFile(`${folder.path}/dsn`, `${dsn}`);
  await using service = await startService({
    ...env,
    NOTIFICATION_INTERNAL_HTTP_ADDR: `:${freePort()}`,
    NOTIFICATION_REDIS_PASSWORD_FILE: `${folder.path}/password`,
    NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE: `${folder.path}/dsn`,
  });
  await service.ready();
  const entryIds = [await rig.addIntent(), await rig.addIntent()];
  await rig.settled();
  for (const entryId of entryIds) {
    const { clientEvents, mailCommands, record } = await outcomeOf(rig, entryId);
    assert.deepEqual([clientEvents.length, mailCommands.length, record?.stream], [1, 1, "in:☃"]);
  }
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("a file that is missing or empty is a problem of its variable", async () => {
  const { NOTIFICATION_REDIS_PASSWORD: _, NOTIFICATION_POSTGRES_PRIMARY_DSN: __, ...rest } = COMPLETE;
  const { code, lines } = await run({
    ...rest,
    NOTIFICATION_REDIS_PASSWORD_FILE: "/dev/null",
    NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE: "/no/such/file",
  });
  assert.equal(code, 78);
  for (const name of ["NOTIFICATION_REDIS_PASSWORD", "NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE"]) {
    assert.equal(lines.filter((line) => line.includes(name)).length, 1, lines.join("\n"));
  }
});

/** Groups of cases that have no variable in common, so that one start reports them all. */
function sideBySide(cases: typeof REFUSED): (typeof REFUSED[number])[][] {
  const groups: (typeof REFUSED[number])[][] = [];
  for (const item of cases) {
    const names = new Set(Object.keys(item[0]));
    const isFree = ([changes]: typeof item) => Object.keys(changes).every((name) => !names.has(name));
    const group = groups.find((group) => group.every(isFree));
    if (group === undefined) groups.push([item]);
    else group.push(item);
  }
  return groups;
}

Deno.test(
  "administrators' addresses that are not UTF-8 are refused",
  { ignore: Deno.build.os === "windows" },
  async () => {
    // Deno itself can't pass such a variable on.
    const name = "NOTIFICATION_ADMIN_EMAILS_GAME_GENERATION_FAILED";
    const script =
      `${name}=$(printf 'ops\\377@example.com'); export ${name}; unset NOTIFICATION_SERVICE_BIN; exec "$@"`;
    const { code, stderr } = await new Deno.Command("sh", {
      args: ["-c", script, "sh", ...await serviceCommand()],
      env: COMPLETE,
    }).output();
    assert.equal(code, 78);
    assert.equal(new TextDecoder().decode(stderr), `${name} should be UTF-8 text\n`);
  },
);

async function run(env: Environment): Promise<{ code: number; lines: string[] }> {
  await using service = await startService(env);
  const code = await service.exit();
  return { code, lines: service.output().split("\n").filter((line) => line !== "") };
}

async function temporaryFolder() {
  const path = await Deno.makeTempDir();
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
