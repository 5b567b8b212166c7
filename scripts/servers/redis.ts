/**
 * Nothing, or settings → a new Redis server on a free port of 127.0.0.1, with a password and 1,024 logical databases,
 * in a temporary folder.
 *
 * It writes nothing to disk unless `appendOnly` is set, and can be stopped, killed and started again on the same port.
 * The process is ended and the folder deleted on disposal, or when this process ends in any way.
 */
import { findBinaries } from "./binaries.ts";
import { accessControl, isRestricted } from "./restricted.ts";
import { scratchFolder } from "./account.ts";
import { ServerProcess, withFreePort } from "./server_process.ts";

export interface RedisOptions {
  readonly password?: string;
  /**
   * Uses an append-only file, so that acknowledged writes survive a stop or a kill of the process. The kernel decides
   * when to flush the file: with `everysec`, a write waits while a flush is in progress, and a SIGKILL then loses it
   * (observed on a busy disk).
   */
  readonly appendOnly?: boolean;
  /** Additional arguments of `redis-server`, e.g. `["--maxmemory", "10mb"]`. */
  readonly args?: readonly string[];
}

export interface RedisServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** `host:port` */
  readonly addr: string;
  readonly password: string;
  /** The folder with the server's files. */
  readonly folder: string;
  stop(): Promise<void>;
  /** @param args additional arguments of `redis-server` for this start only; they override the others */
  start(args?: readonly string[]): Promise<void>;
  kill(signal: Deno.Signal): Promise<void>;
}

const HOST = "127.0.0.1";

export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  return await withFreePort((port) => startOn(port, options));
}

async function startOn(port: number, options: RedisOptions): Promise<RedisServer> {
  const { redisServer } = await findBinaries();
  const folder = await scratchFolder("notification-redis");
  const password = options.password ?? crypto.randomUUID().replaceAll("-", "");
  const server = new ServerProcess({
    name: "Redis",
    command: [
      redisServer,
      ...["--port", String(port), "--bind", HOST, "--dir", folder, "--requirepass", password, "--databases", "1024"],
      ...["--save", "", "--appendonly", options.appendOnly ? "yes" : "no", "--appendfsync", "no"],
      ...["--enable-debug-command", "yes", "--daemonize", "no"],
      ...(isRestricted() ? accessControl(password) : []),
      ...(options.args ?? []),
    ],
    folder,
    quickSignal: "KILL",
    isReady: () => answers(port, password),
  });
  try {
    await server.start();
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return {
    host: HOST,
    port,
    addr: `${HOST}:${port}`,
    password,
    folder,
    stop: () => server.stop("SIGTERM"),
    start: (args) => server.start(args),
    kill: (signal) => server.kill(signal),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Whether the server accepts the password and has loaded its data. */
async function answers(port: number, password: string): Promise<boolean> {
  try {
    using connection = await Deno.connect({ hostname: HOST, port });
    await connection.write(new TextEncoder().encode(`AUTH ${password}\r\nPING\r\n`));
    const reply = new Uint8Array(256);
    let text = "";
    while (text.split("\r\n").length < 3) {
      const length = await connection.read(reply);
      if (length === null) return false;
      text += new TextDecoder().decode(reply.subarray(0, length));
    }
    return text === "+OK\r\n+PONG\r\n";
  } catch {
    return false; // not listening yet
  }
}
