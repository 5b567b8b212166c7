/**
 * PostgreSQL over TLS, as docs/deployment.md describes it: each sslmode, private authorities, client certificates,
 * their rotation while the service runs; and the messages about a failed handshake.
 */
import assert from "node:assert/strict";
import { scratchFolder, serverAccount } from "../../scripts/servers/account.ts";
import { type Postgres, startPostgres } from "../../scripts/servers/postgres.ts";
import { Authority, type Certificate } from "../support/certificates.ts";
import { runProgram } from "../support/command.ts";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { LogLine } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

interface Case {
  /** The DSN's query; `$authority`, `$certificate` and `$key` are the right ones, `$foreign…` another authority's. */
  readonly query: string;
  readonly host?: string;
  /** The exit code of `run` and `check`; 0 if it connects. */
  readonly code: number;
  /** The message of both. */
  readonly says?: RegExp;
}

const NAMES_TLS = /TLS handshake failed: .*sslrootcert.*NOTIFICATION_POSTGRES_PRIMARY_DSN/s;
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
  { query: "sslrootcert=/missing", code: 78, says: /NOTIFICATION_POSTGRES_PRIMARY_DSN .*sslrootcert .*ENOENT/s },
];

const ON_ONE_THAT_ASKS_FOR_CERTIFICATES: readonly Case[] = [
  { query: "", code: 69, says: /28000.*hostssl.*sslmode/s },
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
  await Deno.rename(tls.authority, `${tls.authority}.away`);
  const linesBefore = service.logs.length;
  await reload(rig);
  const isMissing = ({ reason }: LogLine) => /sslrootcert names a file that can't be read/.test(String(reason));
  entryIds.push(await rig.addIntent());
  await eventually(() => service.logs.slice(linesBefore).some(isMissing), { message: () => service.output() });
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
    if (each.says !== undefined) assert.match(check.stdout.replace(/\s+/g, " "), each.says, label);
    if (each.code === 0) return;
    await using service = await rig.spawn(env);
    assert.equal(await service.exit(), each.code, service.output());
    assert.equal(service.stderr, "", label);
    const failure = service.logs.find(({ level }) => level === "error");
    if (each.code === 69 && each.says === NAMES_TLS) assert.match(String(failure?.["reason"]), NAMES_TLS);
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
  await rig.query("SELECT pg_reload_conf()");
  await new Promise((resolve) => setTimeout(resolve, 200));
  await rig.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'notification-service%'",
  );
}

async function inTurns<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  for (const item of items) await work(item);
}
