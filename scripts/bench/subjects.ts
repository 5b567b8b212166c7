/**
 * A setting with servers → a measured subject as a separate process: the floor, the service (from source, as the
 * executable, or from another checkout), or a peer.
 *
 * The process is returned when it is ready and waits for intents. The service runs with its default configuration,
 * except for the variables in `env`.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { consumerLeaseKey } from "../../src/redis/keys.ts";
import { freePort } from "../servers/free_port.ts";
import { INTENTS } from "./fill.ts";
import { type BenchProcess, type Environment, ROOT, startProcess } from "./process.ts";
import type { Setting } from "./setting.ts";

export const PEERS = ["bullmq", "pg_boss", "graphile_worker"] as const;
/** `other` is the service in the folder of `--compare`. */
export const SERVICES = ["service", "executable", "other"] as const;
export const SUBJECTS = ["floor", ...SERVICES, ...PEERS] as const;
export type Subject = typeof SUBJECTS[number];
export type ServiceSubject = typeof SERVICES[number];

export const TITLES: Readonly<Record<Subject, string>> = {
  floor: "floor",
  service: "service (source)",
  executable: "service (executable)",
  other: "service (other checkout)",
  bullmq: "BullMQ",
  pg_boss: "pg-boss",
  graphile_worker: "graphile-worker",
};

export const LATENCY_TITLES = { ...TITLES, bare_hop: "bare hop" } as const;

const PEER_FOLDER = "scripts/bench/peers";
/** A pause for what a process still does after it reported that it is ready. */
const SETTLE_MS = 300;

export interface SubjectOptions {
  readonly setting: Setting;
  readonly userServiceUrl: string;
  /** Only for the service. */
  readonly env?: Environment;
  /** The folder of the other checkout. */
  readonly compare?: string | undefined;
  /** The file for the output of the process. */
  readonly output: string;
}

/** Returns the reason why a subject can't be measured here, or `undefined`. */
export function missing(subject: Subject): string | undefined {
  return subject === "executable" && !existsSync(executable()) ? "not built" : undefined;
}

export function isService(subject: Subject): subject is ServiceSubject {
  return (SERVICES as readonly Subject[]).includes(subject);
}

export async function startSubject(subject: Subject, options: SubjectOptions): Promise<BenchProcess> {
  const process = isService(subject) ? await startService(subject, options) : await startBare(subject, options);
  await sleep(SETTLE_MS);
  return process;
}

async function startService(
  subject: ServiceSubject,
  { setting, userServiceUrl, env, compare, output }: SubjectOptions,
): Promise<BenchProcess> {
  const probe = `127.0.0.1:${freePort()}`;
  const folder = subject === "other" ? compare! : ROOT;
  const command = subject === "executable" ? [executable()] : await startCommand(folder);
  const process = await startProcess(command, {
    output,
    cwd: folder,
    env: {
      NOTIFICATION_REDIS_MASTER_ADDR: setting.server.addr,
      NOTIFICATION_REDIS_PASSWORD: setting.server.password,
      NOTIFICATION_POSTGRES_PRIMARY_DSN: setting.dsn,
      NOTIFICATION_USER_SERVICE_BASE_URL: userServiceUrl,
      NOTIFICATION_INTERNAL_HTTP_ADDR: probe,
      ...env,
    },
  });
  await process.until("it was ready", () => isReady(`http://${probe}/readyz`));
  // The loops start after the probe. When an instance holds the consumer lease, they run.
  const lease = consumerLeaseKey(INTENTS);
  await process.until("an instance consumed", async () => await setting.redis.exists(lease) === 1);
  return process;
}

async function startBare(subject: Exclude<Subject, ServiceSubject>, options: SubjectOptions): Promise<BenchProcess> {
  const { setting, output } = options;
  const program = subject === "floor"
    ? ["scripts/bench/floor.ts"]
    : ["--config", `${PEER_FOLDER}/deno.json`, `${PEER_FOLDER}/${subject}.ts`];
  const process = await startProcess([Deno.execPath(), "run", "--allow-all", ...program], {
    output,
    env: {
      BENCH_REDIS_ADDR: setting.server.addr,
      BENCH_REDIS_PASSWORD: setting.server.password,
      BENCH_POSTGRES_DSN: setting.dsn,
    },
  });
  await process.until("it was ready", async () => await process.printed(/^ready$/m) !== null);
  return process;
}

function executable(): string {
  return resolve(ROOT, Deno.env.get("NOTIFICATION_SERVICE_BIN") || "dist/notification-service");
}

/** The flags are read from the `start` task in deno.json. */
async function startCommand(folder: string): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${folder}/deno.json`));
  const [, ...args] = (tasks.start.command as string).split(/\s+/);
  return [Deno.execPath(), ...args];
}

async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(url);
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false; // it is not listening yet
  }
}
