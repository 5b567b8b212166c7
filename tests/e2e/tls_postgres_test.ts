/**
 * PostgreSQL over TLS, as docs/deployment.md describes it: each sslmode, private authorities, client certificates,
 * their rotation while the service runs; and the messages about a failed handshake.
 */
import assert from "node:assert/strict";
// @ts-types="@types/pg"
import pg from "pg";
import { scratchFolder, serverAccount } from "../../scripts/servers/account.ts";
import { findBinaries } from "../../scripts/servers/binaries.ts";
import { type Postgres, startPostgres } from "../../scripts/servers/postgres.ts";
import { Authority, type Certificate } from "../support/certificates.ts";
import { runProgram } from "../support/command.ts";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

interface Case {
  /** The DSN's query; `$authority`, `$certificate` and `$key` are the right ones, `$foreign…` another authority's. */
  readonly query: string;
  readonly host?: string;
  /** The exit code of `run` and `check`; 0 if it connects. */
  readonly code: number;
  /** The message of both. */
  readonly says?: RegExp;
  /** The advice of `check`. */
  readonly advises?: RegExp;
}

const NAMES_TLS = /TLS handshake failed: .*sslrootcert.*NOTIFICATION_POSTGRES_PRIMARY_DSN/s;
const cannotRead = (name: string) =>
  new RegExp(`NOTIFICATION_POSTGRES_PRIMARY_DSN .*its ${name} names a file that can't be read \\(ENOENT\\)`, "s");
const VERIFYING = ["prefer", "require", "verify-ca", "verify-full"];

const ON_A_SERVER_WITH_TLS: readonly Case[] = [
  { query: "", code: 0 },
  { query: "sslmode=disable", code: 0 },
  { query: "sslmode=no-verify", code: 0 },
  { query: "sslrootcert=$authority", code: 0 },
  ...VERIFYING.flatMap((mode) => [
    { query: `sslmode=${mode}&sslrootcert=$authority`, code: 0 },
    { query: `sslmode=${mode}`, code: 69, says: NAMES_TLS },
  ]),
  { query: "sslmode=verify-full&sslrootcert=$foreignAuthority", code: 69, says: NAMES_TLS },
  { query: "sslmode=verify-full&sslrootcert=system", code: 69, says: NAMES_TLS },
  // Its certificate is for 127.0.0.1 and localhost.
  { query: "sslmode=verify-full&sslrootcert=$authority", host: "localhost", code: 0 },
  { query: "sslmode=verify-full&sslrootcert=$authority", host: "127.0.0.2", code: 69, says: NAMES_TLS },
  { query: "sslmode=no-verify", host: "127.0.0.2", code: 0 },
  { query: "sslmode=maybe", code: 78, says: /NOTIFICATION_POSTGRES_PRIMARY_DSN .*sslmode should be one of/s },
  { query: "sslmode=allow", code: 78, says: /sslmode should be one of/ },
  { query: "sslrootcert=/missing", code: 78, says: cannotRead("sslrootcert") },
  { query: "sslcert=/missing&sslkey=$key", code: 78, says: cannotRead("sslcert") },
  { query: "sslcert=$certificate&sslkey=/missing", code: 78, says: cannotRead("sslkey") },
  {
    query: "sslnegotiation=direct&sslmode=disable",
    code: 78,
    says: /NOTIFICATION_POSTGRES_PRIMARY_DSN .*sslnegotiation=direct needs TLS, which its sslmode=disable turns off/s,
  },
  ...["", "&sslmode=no-verify"].map((mode) => ({
    query: `sslnegotiation=maybe${mode}`,
    code: 78,
    says: /NOTIFICATION_POSTGRES_PRIMARY_DSN .*sslnegotiation should be one of postgres, direct/s,
  })),
  { query: "sslnegotiation=postgres&sslrootcert=$authority", code: 0 },
];

/** The meanings of libpq: `require` and `prefer` verify nothing, `verify-ca` only the authority. */
const AS_LIBPQ: readonly Case[] = [
  { query: "", code: 0 },
  { query: "sslmode=disable", code: 0 },
  { query: "sslmode=prefer", host: "127.0.0.2", code: 0 },
  { query: "sslmode=require", host: "127.0.0.2", code: 0 },
  { query: "sslmode=require&sslrootcert=$authority", host: "127.0.0.2", code: 0 },
  { query: "sslmode=require&sslrootcert=$foreignAuthority", code: 69, says: NAMES_TLS },
  { query: "sslmode=verify-ca&sslrootcert=$authority", host: "127.0.0.2", code: 0 },
  { query: "sslmode=verify-ca&sslrootcert=$foreignAuthority", code: 69, says: NAMES_TLS },
  {
    query: "sslmode=verify-ca",
    code: 78,
    says: /NOTIFICATION_POSTGRES_PRIMARY_DSN .*sslmode=verify-ca needs an sslrootcert/s,
  },
  { query: "sslmode=verify-full&sslrootcert=$authority", code: 0 },
  { query: "sslmode=verify-full&sslrootcert=$authority", host: "127.0.0.2", code: 69, says: NAMES_TLS },
  { query: "sslmode=verify-full", code: 69, says: NAMES_TLS },
  ...["sslrootcert", "sslcert", "sslkey"].map((name) => ({
    query: `sslmode=require&${name}=/missing`,
    code: 78,
    says: cannotRead(name),
  })),
].map((each) => ({ ...each, query: `uselibpqcompat=true&${each.query}` }));

const IS_DIRECT_SUPPORTED = Number.parseInt((await findBinaries()).postgresVersion) >= 17;
/** An older server takes the beginning of the handshake for a wrong message, and ends the connection. */
const DIRECT: readonly Case[] = ["sslmode=no-verify", "sslrootcert=$authority", "uselibpqcompat=true&sslmode=require"]
  .map((query) => ({
    query: `sslnegotiation=direct&${query}`,
    ...(IS_DIRECT_SUPPORTED
      ? { code: 0 }
      : { code: 69, says: /TLS handshake failed: .*its sslnegotiation=direct needs PostgreSQL 17 or newer/s }),
  }));

const ON_ONE_THAT_ASKS_FOR_CERTIFICATES: readonly Case[] = [
  { query: "", code: 69, says: /28000/, advises: /hostssl.*sslmode/s },
  { query: "sslmode=verify-full&sslrootcert=$authority", code: 69, says: /28000|certificate/ },
  { query: "sslmode=verify-full&sslrootcert=$authority&sslcert=$certificate&sslkey=$key", code: 0 },
  {
    query: "sslmode=verify-full&sslrootcert=$authority&sslcert=$foreignCertificate&sslkey=$foreignKey",
    code: 69,
    says: /TLS handshake failed|28000/,
  },
];

Deno.test("each sslmode works as documented, and a failed handshake names TLS and the setting", async () => {
  await using tls = await Tls.create();
  await using postgres = await tls.startPostgres();
  await using rig = await openRig({ superuser: true, postgresServer: postgres });
  await inTurns(ON_A_SERVER_WITH_TLS, (each) => tls.tryOut(rig, each));
});

Deno.test("with uselibpqcompat=true sslmode has the meanings of libpq", async () => {
  await using tls = await Tls.create();
  await using postgres = await tls.startPostgres();
  await using rig = await openRig({ superuser: true, postgresServer: postgres });
  await inTurns(AS_LIBPQ, (each) => tls.tryOut(rig, each));
});

Deno.test(`sslnegotiation=direct ${IS_DIRECT_SUPPORTED ? "works" : "is named in the error of a server before 17"}`, async () => {
  await using tls = await Tls.create();
  await using postgres = await tls.startPostgres();
  await using rig = await openRig({ superuser: true, postgresServer: postgres });
  await inTurns(DIRECT, (each) => tls.tryOut(rig, each));
});

Deno.test("sslnegotiation=direct begins with the handshake, otherwise a request for TLS comes first", async () => {
  await using tls = await Tls.create();
  await using rig = await openRig();
  const firstByteOf = async (query: string) => {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const firstBytes = readFirstBytes(listener);
    const url = Object.assign(new URL(tls.dsn(rig, { query })), { port: listener.addr.port });
    await runProgram({ ...rig.env, NOTIFICATION_POSTGRES_PRIMARY_DSN: url.href }, ["check"]);
    listener.close();
    return new Set(await firstBytes);
  };
  const [handshake, request] = [new Set([0x16]), new Set([0])];
  for (const rest of ["", "&sslmode=no-verify", "&sslrootcert=$authority", "&uselibpqcompat=true&sslmode=require"]) {
    assert.deepEqual(await firstByteOf(`sslnegotiation=direct${rest}`), handshake, rest);
  }
  assert.deepEqual(await firstByteOf("sslmode=no-verify"), request);
});

Deno.test("client certificates are sent, and an error names a server that requires TLS or a certificate", async () => {
  await using tls = await Tls.create();
  await using postgres = await tls.startPostgres({ asksForCertificates: true });
  await using rig = await openRig({ superuser: true, postgresServer: postgres });
  await inTurns(ON_ONE_THAT_ASKS_FOR_CERTIFICATES, (each) => tls.tryOut(rig, each));
});

Deno.test("an error names a server without TLS if the DSN requires it", async () => {
  await using tls = await Tls.create();
  await using rig = await openRig({ superuser: true });
  await tls.tryOut(rig, {
    query: "sslmode=verify-full&sslrootcert=$authority",
    code: 69,
    says: /TLS handshake failed: The server does not support SSL connections/,
  });
});

Deno.test("certificates that are replaced while the service runs are used by new connections", async () => {
  await using tls = await Tls.create();
  await using postgres = await tls.startPostgres({ asksForCertificates: true });
  await using rig = await openRig({ superuser: true, postgresServer: postgres });
  const query = "sslmode=verify-full&sslrootcert=$authority&sslcert=$certificate&sslkey=$key";
  await createRole(rig);
  const service = await rig.start({ NOTIFICATION_POSTGRES_PRIMARY_DSN: tls.dsn(rig, { query }) });
  const entryIds = [await rig.addIntent()];
  await rig.settled();

  await tls.becomeForeign();
  await reload(rig);
  entryIds.push(await rig.addIntent());
  await rig.settled();

  // A file that is missing for a while is an outage of PostgreSQL, not the end of the process.
  const reasons = () => service.logs.flatMap(({ level, reason }) => level === "warn" ? [String(reason)] : []);
  await eventually(async () => {
    const before = reasons().length;
    await Deno.rename(tls.authority, `${tls.authority}.away`);
    await reload(rig);
    entryIds.push(await rig.addIntent());
    const reason = await eventually(() => reasons()[before]);
    if (/sslrootcert names a file that can't be read/.test(reason)) return true;
    // A statement that was under way has met the end of its connection first: the outage has that reason.
    await Deno.rename(`${tls.authority}.away`, tls.authority);
    await rig.settled();
    return false;
  }, { timeoutMs: 60_000, message: () => service.output() });
  assert.equal(service.exitCode, undefined, service.output());
  await Deno.rename(`${tls.authority}.away`, tls.authority);
  await rig.settled();

  assert.deepEqual(new Set(await verdicts(rig, entryIds)), new Set(["accepted"]));
  for (const entryId of entryIds) {
    const { clientEvents, mailCommands } = await outcomeOf(rig, entryId);
    assert.deepEqual([clientEvents.length, mailCommands.length], [1, 1]);
  }
  assert.deepEqual(service.logs.filter(({ level }) => level === "error"), []);
  assert.equal(service.stderr, "");
  assert.equal((await service.terminate()).code, 0);
});

/** The server's certificate, the service's, and another authority with the same. */
class Tls implements AsyncDisposable {
  readonly #folder: string;
  /** Paths by their names in a case's query. */
  readonly #paths: Readonly<Record<string, string>>;
  readonly #served: Certificate;

  private constructor(folder: string, paths: Readonly<Record<string, string>>, served: Certificate) {
    this.#folder = folder;
    this.#paths = paths;
    this.#served = served;
  }

  static async create(): Promise<Tls> {
    const account = await serverAccount();
    const folder = await scratchFolder("notification-tls", account);
    const authority = await Authority.create(folder, { name: "authority", account });
    const foreign = await Authority.create(folder, { name: "foreign", account });
    const [served, client, foreignClient] = [
      await authority.sign("served", { days: 2 }),
      await authority.sign("client", { days: 2 }),
      await foreign.sign("foreign_client", { days: 2 }),
    ];
    const paths = {
      foreignAuthority: foreign.certificate,
      foreignCertificate: foreignClient.certificate,
      foreignKey: foreignClient.key,
      authority: authority.certificate,
      certificate: client.certificate,
      key: client.key,
    };
    return new Tls(folder, paths, served);
  }

  get authority(): string {
    return this.#paths["authority"]!;
  }

  async startPostgres({ asksForCertificates = false } = {}): Promise<Postgres> {
    const account = await serverAccount();
    const rules = asksForCertificates
      // The tests' own connections use no TLS, like those of another role.
      ? "host all postgres 127.0.0.1/32 scram-sha-256\nhostssl all service 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"
      : "host all all 127.0.0.0/8 scram-sha-256\n";
    await Deno.writeTextFile(`${this.#folder}/hba`, rules);
    if (account !== undefined) await Deno.chown(`${this.#folder}/hba`, account.uid, account.gid);
    return await startPostgres({
      settings: {
        listen_addresses: "127.0.0.1,127.0.0.2",
        ssl: "on",
        ssl_cert_file: this.#served.certificate,
        ssl_key_file: this.#served.key,
        ssl_ca_file: this.authority,
        hba_file: `${this.#folder}/hba`,
      },
    });
  }

  /** For the role `service`. */
  dsn(rig: Rig, { query, host }: Pick<Case, "query" | "host">): string {
    const url = new URL(rig.dsn);
    Object.assign(url, { username: "service", password: "secret", hostname: host ?? url.hostname });
    const filled = query.replace(/\$(\w+)/g, (_, name) => encodeURIComponent(this.#paths[name] ?? ""));
    return `${url.href}?${filled}`;
  }

  /** Both `check` and `run` end as expected; no library prints to standard error. */
  async tryOut(rig: Rig, each: Case): Promise<void> {
    await createRole(rig);
    const env = { ...rig.env, NOTIFICATION_POSTGRES_PRIMARY_DSN: this.dsn(rig, each) };
    const check = await runProgram(env, ["check"]);
    const label = `${each.host ?? ""} ${each.query}: ${check.stdout}${check.stderr}`;
    assert.equal(check.code, each.code, label);
    assert.equal(check.stderr, "", label);
    for (const said of [each.says, each.advises]) {
      if (said !== undefined) assert.match(check.stdout.replace(/\s+/g, " "), said, label);
    }
    if (each.code === 0) return;
    await using service = await rig.spawn(env);
    assert.equal(await service.exit(), each.code, service.output());
    assert.equal(service.stderr, "", label);
    const errors = service.logs.filter(({ level }) => level === "error");
    assert.equal(errors.length, 1, service.output());
    if (each.says !== undefined) assert.match(JSON.stringify(errors[0]), each.says, label);
  }

  /** Every file now has a certificate of the other authority. */
  async becomeForeign(): Promise<void> {
    const copy = (from: string, to: string) =>
      Deno.readTextFile(this.#paths[from]!).then((text) => Deno.writeTextFile(to, text));
    await copy("foreignAuthority", this.authority);
    await copy("foreignCertificate", this.#served.certificate);
    await copy("foreignKey", this.#served.key);
    await copy("foreignCertificate", this.#paths["certificate"]!);
    await copy("foreignKey", this.#paths["key"]!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** The role that the service has here, unless it exists. */
async function createRole(rig: Rig): Promise<void> {
  const [found] = await rig.query("SELECT FROM pg_roles WHERE rolname = 'service'");
  if (found === undefined) await rig.query("CREATE ROLE service SUPERUSER LOGIN PASSWORD 'secret'");
}

/** Makes the server read its files again, and breaks every connection of the service. */
async function reload(rig: Rig): Promise<void> {
  const before = await loadTime(rig);
  await rig.query("SELECT pg_reload_conf()");
  await eventually(async () => await loadTime(rig) !== before);
  await rig.query(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'notification-service%'",
  );
}

/**
 * Of a new connection: its process comes from the server's main process, which reads configuration and certificates in
 * one step.
 */
async function loadTime(rig: Rig): Promise<string> {
  const client = new pg.Client({ connectionString: rig.dsn });
  await client.connect();
  try {
    const { rows } = await client.query<{ time: string }>("SELECT pg_conf_load_time()::text AS time");
    return rows[0]!.time;
  } finally {
    await client.end();
  }
}

/** Of every connection until the listener is closed; each is ended after its first byte. */
async function readFirstBytes(listener: Deno.Listener): Promise<number[]> {
  const found: number[] = [];
  for await (const connection of listener) {
    const bytes = new Uint8Array(1);
    await connection.read(bytes);
    found.push(bytes[0]!);
    connection.close();
  }
  return found;
}

async function inTurns<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  for (const item of items) await work(item);
}
