/**
 * Secrets in files, replaced while the service works: when a server refuses one, its file is read again, so that no
 * restart is needed (docs/contract.md, section 1). Whether the server or the file gets the new password first, all
 * intents are published once.
 */
import assert from "node:assert/strict";
import { startPostgres } from "../../scripts/servers/postgres.ts";
import { startRedis } from "../../scripts/servers/redis.ts";
import defaultCatalog from "../../src/notification/default_catalog.json" with { type: "json" };
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { PgBouncer } from "../support/pgbouncer.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { LogLine, ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

const BYTE_ORDER_MARK = "\ufeff";

Deno.test("passwords of PostgreSQL and Redis are replaced under load, without a restart", async () => {
  await using redis = await startRedis({ appendOnly: true });
  await using postgres = await startPostgres();
  await using rig = await openRig({ redisServer: redis, postgresServer: postgres, superuser: true });
  const files = await Secrets.create(rig);
  const service = await rig.start(files.env);
  await using load = new Load(rig);

  // The server first: connections are refused until the file follows.
  for (const server of ["postgres", "redis"] as const) {
    const { setPassword, writeFile } = files.next(server, rig);
    await setPassword();
    await breakConnections(rig);
    await load.more();
    await writeFile();
    await breakConnections(rig);
    await load.more();
  }
  // The file first: existing connections continue, the next one is refused once and reads the file again.
  const becomesWell = () => eventually(() => isWell(service), { timeoutMs: 30_000, message: () => service.output() });
  await becomesWell();
  for (const server of ["postgres", "redis"] as const) {
    const linesBefore = service.logs.length;
    const { setPassword, writeFile } = files.next(server, rig);
    await writeFile();
    await setPassword();
    await breakConnections(rig);
    await load.more();
    await becomesWell();
    assert.deepEqual(service.logs.slice(linesBefore).filter(isRefusal), []);
  }

  await allPublishedOnce(rig, await load.stop());
  assert.equal(rig.instances.length, 1);
  assert.equal(service.exitCode, undefined, service.output());
  // A run of retention that PostgreSQL refuses is one error line.
  const errors = service.logs.filter(({ level, logger }) => level === "error" && logger !== "retention_cleaner");
  assert.deepEqual(errors, []);
  for (const secret of files.secrets) assert.ok(!service.output().includes(secret), secret);
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("a password is replaced behind PgBouncer, which has its own error for a wrong password", async () => {
  await using rig = await openRig({ superuser: true });
  await using pooler = await PgBouncer.start(rig.dsn, { mode: "session" });
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, pooler.dsn);
  const service = await rig.start({
    NOTIFICATION_POSTGRES_PRIMARY_DSN: "",
    NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE: file,
  });
  await rig.addIntent();
  await rig.settled();
  await Deno.writeTextFile(file, await pooler.usePassword("other"));
  await rig.addIntent();
  await rig.settled();
  assert.equal((await service.terminate()).code, 0, service.output());
});

Deno.test("a byte order mark is not part of a secret or of a catalog", async () => {
  await using rig = await openRig();
  const folder = await Deno.makeTempDir();
  const write = async (name: string, text: string) => {
    await Deno.writeTextFile(`${folder}/${name}`, BYTE_ORDER_MARK + text);
    return `${folder}/${name}`;
  };
  const service = await rig.start({
    NOTIFICATION_REDIS_PASSWORD: "",
    NOTIFICATION_REDIS_PASSWORD_FILE: await write("password", `${rig.env["NOTIFICATION_REDIS_PASSWORD"]}\n`),
    NOTIFICATION_POSTGRES_PRIMARY_DSN: "",
    NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE: await write("dsn", rig.env["NOTIFICATION_POSTGRES_PRIMARY_DSN"]!),
    NOTIFICATION_CATALOG_FILE: await write("catalog.json", JSON.stringify(defaultCatalog)),
  });
  await rig.addIntent();
  await rig.settled();
  assert.equal((await service.terminate()).code, 0, service.output());
  await Deno.remove(folder, { recursive: true });
});

/** The two secrets of a role and a Redis of the test's own, each in a file. */
class Secrets {
  readonly secrets: string[] = [];
  readonly #folder: string;
  readonly #role = `role_${crypto.randomUUID().replaceAll("-", "")}`;
  readonly #rotations = { redis: 0, postgres: 0 };

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async create(rig: Rig): Promise<Secrets> {
    const files = new Secrets(await Deno.makeTempDir());
    await rig.query(`CREATE ROLE ${files.#role} SUPERUSER LOGIN`);
    for (const server of ["postgres", "redis"] as const) {
      const { setPassword, writeFile } = files.next(server, rig);
      await setPassword();
      await writeFile();
    }
    return files;
  }

  get env(): Readonly<Record<string, string>> {
    return {
      NOTIFICATION_REDIS_PASSWORD: "",
      NOTIFICATION_REDIS_PASSWORD_FILE: `${this.#folder}/redis`,
      NOTIFICATION_POSTGRES_PRIMARY_DSN: "",
      NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE: `${this.#folder}/postgres`,
    };
  }

  /** A new password of `server`, to be set there and written to its file in any order. */
  next(server: "redis" | "postgres", rig: Rig): Rotation {
    const password = `${server}-s3cret-${++this.#rotations[server]}`;
    this.secrets.push(password);
    const write = (text: string) => Deno.writeTextFile(`${this.#folder}/${server}`, `${text}\n`);
    if (server === "redis") {
      return {
        setPassword: () => rig.redis.config("SET", "requirepass", password),
        writeFile: () => write(BYTE_ORDER_MARK + password),
      };
    }
    const url = new URL(rig.dsn);
    Object.assign(url, { username: this.#role, password });
    return {
      setPassword: () => rig.query(`ALTER ROLE ${this.#role} PASSWORD '${password}'`),
      writeFile: () => write(url.href),
    };
  }
}

interface Rotation {
  setPassword(): Promise<unknown>;
  writeFile(): Promise<void>;
}

/** Sends intents one after the other during the test. */
class Load implements AsyncDisposable {
  readonly #rig: Rig;
  readonly #entryIds: string[] = [];
  #isOver = false;
  readonly #working: Promise<void>;

  constructor(rig: Rig) {
    this.#rig = rig;
    this.#working = this.#work();
  }

  /** Waits for twenty more. */
  async more(): Promise<void> {
    const before = this.#entryIds.length;
    await eventually(() => this.#entryIds.length >= before + 20, { timeoutMs: 30_000 });
  }

  async stop(): Promise<readonly string[]> {
    this.#isOver = true;
    await this.#working;
    return this.#entryIds;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #work(): Promise<void> {
    while (!this.#isOver) {
      this.#entryIds.push(await this.#rig.addIntent());
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}

/** Closes only the connections of the service, to both servers. */
async function breakConnections(rig: Rig): Promise<void> {
  await rig.query(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'notification-service/%'",
  );
  const clients = String(await rig.redis.client("LIST")).split("\n");
  const ours = clients.filter((line) => line.includes("name=notification-service/"));
  for (const line of ours) await rig.redis.client("KILL", "ID", /\bid=(\d+)/.exec(line)![1]!);
}

function isRefusal({ reason }: LogLine): boolean {
  return /WRONGPASS|NOAUTH|28P01|authentication/.test(String(reason));
}

/** Every outage that began is over. */
function isWell({ logs }: ServiceProcess): boolean {
  const count = (text: string) => logs.filter(({ message }) => message === text).length;
  return count("dependency is unavailable") === count("dependency is available again");
}

async function allPublishedOnce(rig: Rig, entryIds: readonly string[]): Promise<void> {
  await rig.settled();
  assert.deepEqual(new Set(await verdicts(rig, entryIds)), new Set(["accepted"]));
  for (const entryId of entryIds) {
    const { clientEvents, mailCommands } = await outcomeOf(rig, entryId);
    assert.deepEqual([clientEvents.length, mailCommands.length], [1, 1]);
  }
}
