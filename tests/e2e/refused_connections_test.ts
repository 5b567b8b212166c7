/**
 * PostgreSQL, or a pooler before it, refuses every new connection while the service runs: an outage, reported once; the
 * process continues, nothing is lost and nothing is published twice (docs/contract.md, section 5).
 */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import { scratchFolder, serverAccount } from "../../scripts/servers/account.ts";
import { startPostgres } from "../../scripts/servers/postgres.ts";
import { Authority, type Certificate } from "../support/certificates.ts";
import { testPostgres } from "../support/environment.ts";
import { PostgresFront } from "../support/postgres_front.ts";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { LogLine, ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

/** Several back-offs, so that a process that would end has enough time. */
const REFUSED_MS = 3_000;

/** Statements for an administrator; `$db` is the service's database, `$role` its role. */
const REFUSALS = [
  {
    name: "a database that accepts no connections (55000)",
    refuse: "ALTER DATABASE $db ALLOW_CONNECTIONS false",
    allow: "ALTER DATABASE $db ALLOW_CONNECTIONS true",
    reason: /\(55000\)/,
  },
  {
    name: "a role that may not connect any more (42501)",
    refuse: "REVOKE CONNECT ON DATABASE $db FROM PUBLIC, $role",
    allow: "GRANT CONNECT ON DATABASE $db TO $role",
    reason: /\(42501\)/,
  },
  {
    name: "a role that may not log in any more (28000)",
    refuse: "ALTER ROLE $role NOLOGIN",
    allow: "ALTER ROLE $role LOGIN",
    reason: /\(28000\)/,
  },
  {
    name: "a role without a connection left (53300)",
    refuse: "ALTER ROLE $role CONNECTION LIMIT 0",
    allow: "ALTER ROLE $role CONNECTION LIMIT -1",
    reason: /\(53300\)/,
  },
] as const;

for (const { name, refuse, allow, reason } of REFUSALS) {
  Deno.test(`${name} is an outage`, async () => {
    await using rig = await openRig({ superuser: true });
    await using admin = await Administrator.open(rig);
    await using service = await rig.spawn({ NOTIFICATION_POSTGRES_PRIMARY_DSN: admin.serviceDsn });
    await service.ready();
    await outlasts(rig, service, {
      begin: async () => {
        await admin.run(refuse);
        await terminateBackends(rig);
      },
      end: () => admin.run(allow),
      reason,
    });
  });
}

/** The errors of poolers that can't reach their server or don't know a setting; class 22 is otherwise about data. */
const POOLER_CODES = ["XX000", "08P01", "22023"];

Deno.test(`a pooler that refuses connections (${POOLER_CODES.join(", ")}) is an outage`, async () => {
  await using rig = await openRig({ superuser: true });
  await using front = await PostgresFront.open(Number(new URL(rig.dsn).port));
  await using service = await rig.spawn({ NOTIFICATION_POSTGRES_PRIMARY_DSN: front.through(rig.dsn) });
  await service.ready();
  for (const code of POOLER_CODES) {
    await outlasts(rig, service, {
      begin: () => {
        front.refusal = { code, message: "connection to database closed" };
        front.cut();
      },
      end: () => front.refusal = undefined,
      reason: new RegExp(`\\(${code}\\)`),
    });
  }
});

Deno.test("behind a session pooler without a reset query the service works, and continues after its connections were cut", async () => {
  await using rig = await openRig({ superuser: true });
  await using front = await PostgresFront.open(Number(new URL(rig.dsn).port));
  await using service = await rig.spawn({ NOTIFICATION_POSTGRES_PRIMARY_DSN: front.through(rig.dsn) });
  await service.ready();
  const entryIds: string[] = [];
  for (let round = 0; round < 4; round++) {
    entryIds.push(...await Promise.all(Array.from({ length: 20 }, () => rig.addIntent())));
    await rig.settled();
    front.cut();
  }
  await published(rig, entryIds);
  assert.deepEqual(service.logs.filter(({ level }) => level === "error"), []);
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("a certificate that has expired, or that another authority signed, is an outage", async () => {
  const account = await serverAccount();
  const folder = await scratchFolder("notification-certificates", account);
  try {
    const authority = await Authority.create(folder, { name: "authority", account });
    const other = await Authority.create(folder, { name: "other", account });
    const good = await authority.sign("good", { days: 2 });
    const served = await authority.sign("served", { days: 2 });
    const settings = { ssl: "on", ssl_cert_file: served.certificate, ssl_key_file: served.key };
    await using postgres = await startPostgres({ settings });
    await using rig = await openRig({ superuser: true, postgresServer: postgres });
    const dsn = `${rig.dsn}?sslmode=verify-full&sslrootcert=${authority.certificate}`;
    await using service = await rig.spawn({ NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn });
    await service.ready();
    const serve = async ({ certificate, key }: Certificate) => {
      await Deno.writeTextFile(served.certificate, await Deno.readTextFile(certificate));
      await Deno.writeTextFile(served.key, await Deno.readTextFile(key));
      await rig.query("SELECT pg_reload_conf()");
      await terminateBackends(rig);
    };
    for (
      const { certificate, reason } of [
        { certificate: await authority.sign("expired", { days: -1 }), reason: /expired/i },
        { certificate: await other.sign("foreign", { days: 2 }), reason: /UnknownIssuer|UNABLE_TO_VERIFY/i },
      ]
    ) {
      await outlasts(rig, service, { begin: () => serve(certificate), end: () => serve(good), reason });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

interface Outage {
  readonly begin: () => Promise<void> | void;
  readonly end: () => Promise<unknown> | void;
  /** The expected log line. */
  readonly reason: RegExp;
}

/** Sends one intent before, during and after the outage; each is published once, by the same process. */
async function outlasts(rig: Rig, service: ServiceProcess, { begin, end, reason }: Outage): Promise<void> {
  const linesBefore = service.logs.length;
  const entryIds = [await rig.addIntent()];
  await rig.settled();
  await begin();
  entryIds.push(await rig.addIntent());
  const since = () => service.logs.slice(linesBefore);
  const isOutage = ({ dependency, level }: LogLine) => dependency === "postgres" && level === "warn";
  const reported = await eventually(() => since().find(isOutage), { message: () => service.output() });
  assert.match(
    String(reported["reason"]),
    /57P01|terminated|ECONNRESET|EPIPE|closed/.test(String(reported["reason"])) ? /./ : reason,
  );
  await new Promise((resolve) => setTimeout(resolve, REFUSED_MS));
  assert.equal(service.exitCode, undefined, service.output());
  await end();
  await rig.settled();
  await published(rig, entryIds);
  await eventually(() => since().some(({ dependency, level }) => dependency === "postgres" && level === "info"));
  assert.ok(since().filter(isOutage).length <= 2, service.output());
  assert.deepEqual(since().filter(({ level }) => level === "error"), []);
}

/** Both routes of each intent, at the first attempt, and once in the streams. */
async function published(rig: Rig, entryIds: readonly string[]): Promise<void> {
  assert.deepEqual(new Set(await verdicts(rig, entryIds)), new Set(["accepted"]));
  for (const entryId of entryIds) {
    const { routes, clientEvents, mailCommands } = await outcomeOf(rig, entryId);
    assert.deepEqual(routes.map((route) => [route.status, route.attempt_count]), [["published", 1], ["published", 1]]);
    assert.deepEqual([clientEvents.length, mailCommands.length], [1, 1]);
  }
}

/** Ends all sessions of the service, but not those of the tests. */
async function terminateBackends(rig: Rig): Promise<void> {
  await rig.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = $1 AND application_name LIKE 'notification-service%'`,
    [new URL(rig.dsn).pathname.slice(1)],
  );
}

/** The server's superuser, and a role without its privileges for the service. */
class Administrator implements AsyncDisposable {
  readonly serviceDsn: string;
  readonly #client: pg.Client;
  readonly #database: string;
  readonly #role = `service_${crypto.randomUUID().replaceAll("-", "")}`;

  constructor(rig: Rig, client: pg.Client) {
    this.#client = client;
    const url = new URL(rig.dsn);
    this.#database = url.pathname.slice(1);
    url.username = this.#role;
    url.password = "secret";
    this.serviceDsn = url.href;
  }

  static async open(rig: Rig): Promise<Administrator> {
    const client = new pg.Client({ connectionString: testPostgres() });
    await client.connect();
    const administrator = new Administrator(rig, client);
    await administrator.run(
      "CREATE ROLE $role LOGIN PASSWORD 'secret'; GRANT CREATE, CONNECT ON DATABASE $db TO $role",
    );
    return administrator;
  }

  async run(statements: string): Promise<void> {
    for (const sql of statements.split("; ")) {
      await this.#client.query(sql.replaceAll("$db", this.#database).replaceAll("$role", this.#role));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end();
  }
}
