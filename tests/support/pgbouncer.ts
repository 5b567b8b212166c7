/**
 * A PostgreSQL URL and a pool mode → a PgBouncer on a free port of 127.0.0.1 between the URL's role and its server.
 *
 * It begins without connections to the server; process and folder are removed when it is disposed of or this process
 * ends. If PgBouncer is missing, it is unpacked or installed like the servers, or the error says how.
 */
import { scratchFolder, serverAccount } from "../../scripts/servers/account.ts";
import { distribution, installServers } from "../../scripts/servers/install.ts";
import { ServerProcess, withFreePort } from "../../scripts/servers/server_process.ts";
import { unpackPackage } from "../../scripts/servers/unpack_package.ts";

export interface PgBouncerOptions {
  readonly mode: "session" | "transaction" | "statement";
  /** More lines of its configuration by name; `server_reset_query: ""` keeps a client's settings for the next one. */
  readonly settings?: Readonly<Record<string, string>>;
}

interface Place extends PgBouncerOptions {
  readonly folder: string;
  /** The server's URL. */
  readonly dsn: URL;
  readonly port: number;
}

const DEFAULT_POOL_SIZE = "20";

export class PgBouncer implements AsyncDisposable {
  /** The URL that leads through here. */
  readonly dsn: string;
  readonly #server: ServerProcess;
  readonly #place: Place;

  private constructor(dsn: string, server: ServerProcess, place: Place) {
    this.dsn = dsn;
    this.#server = server;
    this.#place = place;
  }

  static async start(dsn: string, options: PgBouncerOptions): Promise<PgBouncer> {
    const program = find() ?? await installed();
    return await withFreePort(async (port) => {
      const through = new URL(dsn);
      through.port = String(port);
      const folder = await scratchFolder("notification-pgbouncer", await serverAccount());
      const place = { folder, dsn: new URL(dsn), port, ...options };
      const server = await serverOf(program, place);
      try {
        await server.start();
      } catch (error) {
        await server[Symbol.asyncDispose]();
        throw error;
      }
      return new PgBouncer(through.href, server, place);
    });
  }

  /** How many sessions on the server it grants to clients of one role and database. */
  get poolSize(): number {
    return Number(this.#place.settings?.["default_pool_size"] ?? DEFAULT_POOL_SIZE);
  }

  /** Changes the password of clients, closes existing connections, and returns the URL with the new password. */
  async usePassword(password: string): Promise<string> {
    const { folder, dsn } = this.#place;
    await this.stop();
    await write(folder, { users: `"${decodeURIComponent(dsn.username)}" "${password}"\n` });
    await this.start();
    const url = new URL(this.dsn);
    url.password = password;
    return url.href;
  }

  /** Like `RELOAD`: connected clients get no message, and notice only the effects on their sessions. */
  async useMode(mode: PgBouncerOptions["mode"]): Promise<void> {
    await write(this.#place.folder, { "pgbouncer.ini": configurationOf({ ...this.#place, mode }) });
    await this.#server.kill("SIGHUP");
  }

  async stop(): Promise<void> {
    await this.#server.stop("SIGQUIT");
  }

  async start(): Promise<void> {
    await this.#server.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
  }
}

async function serverOf(program: string, place: Place): Promise<ServerProcess> {
  const { folder, dsn, port } = place;
  const [user, password] = credentials(dsn);
  await write(folder, { "pgbouncer.ini": configurationOf(place), users: `"${user}" "${password}"\n` });
  return new ServerProcess({
    name: "PgBouncer",
    command: [program, `${folder}/pgbouncer.ini`],
    folder,
    account: await serverAccount(),
    quickSignal: "KILL",
    isReady: () => answers(port),
  });
}

function configurationOf({ folder, dsn, port, mode, settings }: Place): string {
  const [user, password] = credentials(dsn);
  const all = {
    listen_addr: "127.0.0.1",
    listen_port: String(port),
    unix_socket_dir: "",
    auth_type: "plain",
    auth_file: `${folder}/users`,
    pool_mode: mode,
    default_pool_size: DEFAULT_POOL_SIZE,
    ...settings,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}`);
  const server = `host=${dsn.hostname} port=${dsn.port} user=${user} password=${password}`;
  return `[databases]\n* = ${server}\n[pgbouncer]\n${lines.join("\n")}\n`;
}

function credentials({ username, password }: URL): readonly [string, string] {
  return [decodeURIComponent(username), decodeURIComponent(password)];
}

async function write(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  const account = await serverAccount();
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(`${folder}/${name}`, text, { mode: 0o600 });
    if (account !== undefined) await Deno.chown(`${folder}/${name}`, account.uid, account.gid);
  }
}

async function answers(port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch {
    return false; // it does not listen yet
  }
}

/** Debian's own PgBouncer is in /usr/sbin, which is not in the PATH of every account. */
function find(): string | undefined {
  const folders = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/opt/homebrew/bin"];
  return folders.map((folder) => `${folder}/pgbouncer`).find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false; // not in this folder
    }
  });
}

async function installed(): Promise<string> {
  if (Deno.uid() !== 0 && await distribution() === "debian") {
    return `${await unpackPackage({ name: "pgbouncer", programs: ["pgbouncer"] })}/pgbouncer`;
  }
  await installServers(["pgbouncer"]);
  const program = find();
  if (program === undefined) throw new Error("pgbouncer was installed but is not in PATH");
  return program;
}
