/**
 * PgBouncer between the service and PostgreSQL: in session mode everything works, with and without a reset query, and
 * the service leaves nothing behind; in transaction and statement mode `run`, `check` and the other commands refuse it
 * before they have set anything (docs/contract.md, section 1). A pooler that is switched to such a mode while the
 * service runs is one outage that names the setting, and nothing is lost.
 */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import { runProgram } from "../support/command.ts";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { PgBouncer, type PgBouncerOptions } from "../support/pgbouncer.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

const SESSION_MODES: Readonly<Record<string, PgBouncerOptions>> = {
  "with its reset query": { mode: "session" },
  "without a reset query": { mode: "session", settings: { server_reset_query: "" } },
  // The service's pool and one more connection, which decides about the pooler.
  "with hardly more connections than the service": { mode: "session", settings: { default_pool_size: "11" } },
};

for (const [name, options] of Object.entries(SESSION_MODES)) {
  Deno.test(`a session pooler ${name} works, and keeps no state of the service`, async () => {
    await using rig = await openRig({ superuser: true });
    await using pooler = await PgBouncer.start(rig.dsn, options);
    const env = { NOTIFICATION_POSTGRES_PRIMARY_DSN: pooler.dsn };
    await using service = await rig.spawn(env);
    await service.ready();
    const entryIds = await Promise.all(Array.from({ length: 50 }, () => rig.addIntent()));
    await rig.settled();
    // Every connection breaks, and the service makes new ones.
    await pooler.stop();
    entryIds.push(await rig.addIntent());
    await pooler.start();
    await rig.settled();
    assert.deepEqual(new Set(await verdicts(rig, entryIds)), new Set(["accepted"]));
    for (const entryId of entryIds) {
      const { clientEvents, mailCommands } = await outcomeOf(rig, entryId);
      assert.deepEqual([clientEvents.length, mailCommands.length], [1, 1]);
    }
    const { code, stdout } = await runProgram({ ...rig.env, ...env }, ["check"]);
    assert.equal(code, 0, stdout);
    assert.equal((await service.terminate()).code, 0, service.output());
    assert.equal(service.stderr, "");
    await assertNothingLeft(rig, pooler);
  });
}

Deno.test("a schema that can't be migrated leaves no lock behind in a pooler without a reset query", async () => {
  await using rig = await openRig({ superuser: true });
  await rig.query("CREATE SCHEMA notification");
  await rig.query("CREATE ROLE somebody_else");
  await rig.query("CREATE TABLE notification.records (); ALTER TABLE notification.records OWNER TO somebody_else");
  const role = await ordinaryRole(rig);
  await using pooler = await PgBouncer.start(role, SESSION_MODES["without a reset query"]!);
  const env = { ...rig.env, NOTIFICATION_POSTGRES_PRIMARY_DSN: pooler.dsn };
  const { code, stderr } = await runProgram(env, ["migrate", "up"]);
  assert.equal(code, 69, stderr);
  assert.match(stderr, /somebody_else/);
  await assertNothingLeft(rig, pooler);
});

/** PgBouncer's default, the other order, and one connection to the server for all. */
const ORDERS: readonly Readonly<Record<string, string>>[] = [{}, { server_round_robin: "1" }, {
  default_pool_size: "1",
}];

for (const mode of ["transaction", "statement"] as const) {
  for (const settings of ORDERS) {
    Deno.test(`a pooler in ${mode} mode is refused, ${JSON.stringify(settings)}`, async () => {
      await using rig = await openRig({ superuser: true });
      await using pooler = await PgBouncer.start(rig.dsn, { mode, settings });
      await using others = await OtherProgram.open(pooler.dsn, "default_pool_size" in settings ? 0 : 3);
      const env = { ...rig.env, NOTIFICATION_POSTGRES_PRIMARY_DSN: pooler.dsn };
      await using service = await rig.spawn(env);
      assert.equal(await service.exit(), 69, service.output());
      const failure = service.logs.find(({ message }) => message === "start-up failed");
      assert.match(String(failure?.["reason"]), REFUSED, service.output());
      assert.equal(service.stderr, "");
      const check = await runProgram(env, ["check", "--json"]);
      assert.equal(check.code, 69);
      const finding = JSON.parse(check.stdout).checks.find(({ name }: { name: string }) => name === "postgres");
      assert.match(finding.detail, REFUSED);
      assert.match(finding.advice, /pool_mode = session/);
      const status = await runProgram(env, ["status"]);
      assert.equal(status.code, 69, status.stderr);
      assert.match(status.stderr, REFUSED);
      await others.stop();
      await assertNothingLeft(rig, pooler);
    });
  }
}

for (const mode of ["transaction", "statement"] as const) {
  Deno.test(`a pooler that is switched to ${mode} mode while the service runs is one outage, until it is switched back`, async () => {
    await using rig = await openRig({ superuser: true });
    await using pooler = await PgBouncer.start(rig.dsn, { mode: "session" });
    const service = await rig.start({ NOTIFICATION_POSTGRES_PRIMARY_DSN: pooler.dsn });
    const ofPostgres = (message: string) =>
      service.logs.filter((line) => line.message === message && line["dependency"] === "postgres");
    const entryIds: string[] = [];
    const addIntents = async (until: () => boolean) => {
      do entryIds.push(await rig.addIntent()); while (!until());
    };
    await addIntents(() => entryIds.length === 20);
    await rig.settled();

    await pooler.useMode(mode);
    const begun = performance.now();
    await addIntents(() => ofPostgres("dependency is unavailable").length > 0 || performance.now() - begun > 20_000);
    // Meanwhile no try to connect may succeed.
    await addIntents(() => entryIds.length % 200 === 0);
    assert.deepEqual(ofPostgres("dependency is available again"), [], service.output());
    await pooler.useMode("session");
    await rig.settled();

    await eventually(() => ofPostgres("dependency is available again").length === 1);
    const outages = ofPostgres("dependency is unavailable");
    assert.equal(outages.length, 1, service.output());
    assert.match(String(outages[0]!["reason"]), REFUSED);
    assert.deepEqual(new Set(await verdicts(rig, entryIds)), new Set(["accepted"]));
    assert.deepEqual([(await rig.clientEvents()).length, (await rig.mailCommands()).length], [
      entryIds.length,
      entryIds.length,
    ]);
    assert.equal((await service.terminate()).code, 0, service.output());
    assert.equal(service.stderr, "");
  });
}

const REFUSED = /NOTIFICATION_POSTGRES_PRIMARY_DSN leads to a pooler in transaction or statement mode/;

/** PgBouncer tracks these: each client gets its own values, whatever the session had before. */
const TRACKED = ["application_name", "client_encoding", "datestyle", "standard_conforming_strings", "timezone"];

interface PooledSession {
  readonly pid: number;
  /** `name = value` of everything that the session has set. */
  readonly settings: readonly string[];
  readonly prepared: readonly string[];
  readonly locks: number;
}

/**
 * In all sessions of the pooler there are only the server's own settings, no prepared statement and no advisory lock,
 * and no other session of the database has an advisory lock.
 */
async function assertNothingLeft(rig: Rig, pooler: PgBouncer): Promise<void> {
  await eventually(async () => {
    const locks = await rig.query(
      `SELECT pid FROM pg_locks
       WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    assert.deepEqual(locks, []);
    return true;
  });
  for (const { pid, ...left } of await sessionsOf(pooler)) {
    assert.deepEqual(left, { settings: [], prepared: [], locks: 0 }, `session ${pid}`);
  }
}

/** Every session that the pooler may have. */
async function sessionsOf(pooler: PgBouncer): Promise<PooledSession[]> {
  const clients = Array.from(
    { length: pooler.poolSize },
    () => new pg.Client({ connectionString: pooler.dsn, connectionTimeoutMillis: 10_000 }),
  );
  for (const client of clients) client.on("error", () => {});
  try {
    await Promise.all(clients.map((client) => client.connect()));
    const sessions = new Map<number, PooledSession>();
    // Without session mode a client has a session only during a statement: each session has one at the same time if the
    // statements take long enough.
    for (let seconds = 0.1; sessions.size < clients.length; seconds *= 2) {
      assert.ok(seconds < 10, `only ${sessions.size} of ${clients.length} sessions were seen`);
      for (const session of await Promise.all(clients.map((client) => look(client, seconds)))) {
        sessions.set(session.pid, session);
      }
    }
    return [...sessions.values()];
  } finally {
    await Promise.all(clients.map((client) => client.end()));
  }
}

async function look(client: pg.Client, seconds: number): Promise<PooledSession> {
  const { rows } = await client.query<PooledSession>(
    `SELECT pg_backend_pid() AS pid,
       ARRAY(SELECT name || ' = ' || setting FROM pg_settings
             WHERE source = 'session' AND lower(name) <> ALL ($1) ORDER BY name) AS settings,
       ARRAY(SELECT name FROM pg_prepared_statements) AS prepared,
       (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks
     FROM pg_sleep($2)`,
    [TRACKED, seconds],
  );
  return rows[0]!;
}

/** A role that may connect and use the schema, and owns nothing. */
async function ordinaryRole(rig: Rig): Promise<string> {
  const name = `role_${crypto.randomUUID().replaceAll("-", "")}`;
  await rig.query(`CREATE ROLE ${name} LOGIN PASSWORD 'secret'`);
  await rig.query(`GRANT ALL ON SCHEMA notification TO ${name}`);
  const url = new URL(rig.dsn);
  url.username = name;
  url.password = "secret";
  return url.href;
}

/** Clients of the same pool that are always busy. */
class OtherProgram implements AsyncDisposable {
  #isOver = false;
  readonly #clients: readonly pg.Client[];
  readonly #working: Promise<unknown>;

  private constructor(clients: readonly pg.Client[]) {
    this.#clients = clients;
    this.#working = Promise.all(clients.map((client) => this.#work(client)));
  }

  static async open(dsn: string, count: number): Promise<OtherProgram> {
    const clients = Array.from({ length: count }, () => new pg.Client({ connectionString: dsn }));
    await Promise.all(clients.map((client) => client.connect()));
    return new OtherProgram(clients);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#working;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await Promise.all(this.#clients.map((client) => client.end()));
  }

  async #work(client: pg.Client): Promise<void> {
    while (!this.#isOver) await client.query("SELECT count(*) FROM pg_class");
  }
}
