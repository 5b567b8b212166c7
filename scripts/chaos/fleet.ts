/**
 * The setting → instances of the service, which can be started, stopped, killed and frozen.
 *
 * Each instance has a name, which the consumer's lease and PostgreSQL show. An instance that ends by itself is started
 * again, as a supervisor would do, and is reported as a breach, unless a dependency was unavailable while it started. A
 * log line that must never be written is reported as a breach, too.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { appendFile, mkdir, readFile } from "node:fs/promises";
import { consumerLeaseKey } from "../../src/redis/keys.ts";
import { eventually } from "../../tests/support/wait.ts";
import { type ServiceProcess, startService } from "../../tests/support/service_process.ts";
import { freePort } from "../servers/free_port.ts";
import type { Breach } from "./facts.ts";
import { type Setting, STREAMS } from "./setting.ts";
import { ReportedOutages } from "./reported_outages.ts";

/** Batch sizes: the defaults, or sizes so small that nearly every moment falls between two batches. */
const PROFILES = {
  default: {},
  tiny: {
    NOTIFICATION_INTENTS_BATCH_SIZE: "9",
    NOTIFICATION_PUBLISH_BATCH_SIZE: "6",
    NOTIFICATION_POSTGRES_MAX_OPEN_CONNS: "4",
  },
} as const;
export type Profile = keyof typeof PROFILES;

export interface Instance {
  readonly name: string;
  readonly profile: Profile;
  /** Environment variables in addition to those of the profile. */
  readonly env: Readonly<Record<string, string>>;
  /** The folder with the source of another version; `undefined` for the present version. */
  readonly root: string | undefined;
  readonly process: ServiceProcess;
  /** Resolves when the instance answers its probe; rejects if it ends before. */
  readonly ready: Promise<void>;
  isReady: boolean;
  /** `Infinity` until the instance is ready. */
  readyAtMs: number;
  isFrozen: boolean;
  /** The harness has stopped it, or is about to stop it. */
  isExpectedToEnd: boolean;
}

/** Parts of log lines that no fault of the harness can cause: the harness trims no stream and replaces none. */
const ALARMS = [
  "trimmed unread",
  "another stream",
  "unexpected error",
  "can't be written",
];
/** Parts of log lines that are expected only after a store has lost data. */
const LOSS_ALARMS = ["PostgreSQL lost commits", "Redis lost the last entries", "a repair is finished"];
/** The exit code if a dependency was unavailable at the start. */
const DEPENDENCY_EXIT = 69;
const LAST_LINES = 15;
const RESTART_PAUSE_MS = 500;

/**
 * Returns the instance's name from the process id in the consumer lease: `<name>/<process>`, or only the name in
 * version 0.1.
 */
export function instanceOf(processId: string | null): string | undefined {
  return processId?.split("/")[0];
}

/** SQL condition: the backend belongs to the instance whose name is `$1`. */
export const IS_OF_INSTANCE = "application_name ~ ('^notification-service/' || $1 || '(/|$)')";

export class Fleet implements AsyncDisposable {
  readonly instances: Instance[] = [];
  readonly logFolder: string;
  /** What the instances did wrong. The caller that reports the breaches empties the list. */
  breaches: Breach[] = [];
  /** A dependency that an instance needs at its start may be unavailable. */
  mayFailToStart = false;
  /** A store may have lost data, so log lines about a loss are no breach. */
  mayLogLosses = false;
  /** How many outages the instances reported, by the name of the dependency in the log. */
  readonly outages = new Map<string, number>();
  readonly #setting: Setting;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #writing = new Set<Promise<void>>();
  #joined = 0;
  #isClosed = false;

  constructor(setting: Setting, { logFolder, env = {} }: { logFolder: string; env?: Record<string, string> }) {
    this.#setting = setting;
    this.logFolder = logFolder;
    this.#environment = { ...setting.environment, ...env };
  }

  get working(): Instance[] {
    return this.instances.filter(({ isReady, isFrozen, isExpectedToEnd }) => isReady && !isFrozen && !isExpectedToEnd);
  }

  /** Starts an instance, and does not wait until it is ready. */
  async join(
    profile: Profile,
    env: Readonly<Record<string, string>> = {},
    { root }: { readonly root?: string | undefined } = {},
  ): Promise<Instance> {
    const name = `chaos-${++this.#joined}`;
    await mkdir(this.logFolder, { recursive: true });
    const reported = new ReportedOutages((dependency) => {
      this.outages.set(dependency, (this.outages.get(dependency) ?? 0) + 1);
    });
    const process = await startService({
      ...this.#environment,
      ...PROFILES[profile],
      ...env,
      NOTIFICATION_INTERNAL_HTTP_ADDR: `127.0.0.1:${freePort()}`,
      OTEL_RESOURCE_ATTRIBUTES: `service.instance.id=${name}`,
    }, { root, keep: { maxLines: 300, isKept: (line) => this.#checkLine(line, { name, reported }) } });
    const instance: Instance = {
      ...{
        name,
        profile,
        env,
        root,
        process,
        isReady: false,
        readyAtMs: Infinity,
        isFrozen: false,
        isExpectedToEnd: false,
      },
      ready: process.ready().then(() => {
        instance.isReady = true;
        instance.readyAtMs = Date.now();
      }),
    };
    instance.ready.catch(() => {}); // #supervise() reports it
    this.instances.push(instance);
    this.#supervise(instance);
    return instance;
  }

  /** Sends SIGTERM and waits for the end. An exit code other than 0 is a breach. */
  async leave(instance: Instance): Promise<void> {
    instance.isExpectedToEnd = true;
    const { code, durationMs } = await instance.process.terminate();
    if (code !== 0) {
      this.#addBreach(`${instance.name} ended with code ${code} after SIGTERM and ${Math.round(durationMs)} ms`);
    }
  }

  async kill(instance: Instance): Promise<void> {
    instance.isExpectedToEnd = true;
    await instance.process.kill();
  }

  freeze(instance: Instance): void {
    instance.isFrozen = true;
    instance.process.signal("SIGSTOP");
  }

  thaw(instance: Instance): void {
    instance.process.signal("SIGCONT");
    instance.isFrozen = false;
  }

  /** Starts and stops instances until exactly `count` instances with this profile and environment run and are ready. */
  async shape(count: number, profile: Profile, env: Readonly<Record<string, string>> = {}): Promise<void> {
    const isRight = (instance: Instance) =>
      instance.profile === profile && JSON.stringify(instance.env) === JSON.stringify(env);
    const others = this.instances.filter((instance) => !isRight(instance));
    const surplus = this.instances.filter(isRight).slice(count);
    const missing = count - (this.instances.length - others.length - surplus.length);
    const joining = Array.from({ length: missing }, () => this.join(profile, env));
    await Promise.all([...await Promise.all(joining)].map(({ ready }) => ready.catch(() => {})));
    await Promise.all([...others, ...surplus].map((instance) => this.leave(instance)));
    await this.allReady();
  }

  /** Waits until every instance answers its probe; rejects after `timeoutMs`. */
  async allReady(timeoutMs = 30_000): Promise<void> {
    await eventually(() => this.instances.length > 0 && this.instances.every(({ isReady }) => isReady), {
      ...{ timeoutMs, intervalMs: 20 },
      message: "Not every instance became ready",
    });
  }

  /** The instance that holds the consumer's lease. */
  async consuming(): Promise<Instance | undefined> {
    const name = instanceOf(await this.#setting.redis.get(consumerLeaseKey(STREAMS.intents)));
    return this.instances.find((instance) => instance.name === name);
  }

  /** The last log lines of the instances started last, including those that have ended. */
  async lastLines(): Promise<{ name: string; lines: string[] }[]> {
    await Promise.all(this.#writing);
    const names = Array.from({ length: Math.min(4, this.#joined) }, (_, at) => `chaos-${this.#joined - at}`);
    return await Promise.all(names.map(async (name) => {
      const text = await readFile(`${this.logFolder}/${name}.log`, "utf8").catch(() => ""); // it logged nothing
      const lines = text.trimEnd().split("\n").filter((line) => !line.includes('"malformed intent'));
      return { name, lines: lines.slice(-LAST_LINES) };
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.instances.map((instance) => this.kill(instance)));
    await Promise.all(this.#writing);
  }

  async #supervise(instance: Instance): Promise<void> {
    const { code } = await instance.process.ended;
    this.instances.splice(this.instances.indexOf(instance), 1);
    const { name, profile, env, root, process, isReady, isExpectedToEnd } = instance;
    if (isExpectedToEnd || this.#isClosed) return;
    const isFailedStart = code === DEPENDENCY_EXIT && !isReady && this.mayFailToStart;
    if (!isFailedStart) this.#addBreach(`${name} ended by itself with code ${code}: ${process.output().slice(-600)}`);
    await sleep(RESTART_PAUSE_MS);
    if (!this.#isClosed) await this.join(profile, env, { root });
  }

  /** Adds what is wrong with a log line to the breaches. Returns whether the line is kept. */
  #checkLine(line: string, { name, reported }: { name: string; reported: ReportedOutages }): boolean {
    if (line.includes('"message":"accepted"')) return false;
    const wrong = reported.check(line);
    if (wrong !== undefined) this.#addBreach(`${name} ${wrong}`);
    const alarms = this.mayLogLosses ? ALARMS : [...ALARMS, ...LOSS_ALARMS];
    if (alarms.some((part) => line.includes(part))) this.#addBreach(`${name} logged ${line.slice(0, 600)}`);
    const written = appendFile(`${this.logFolder}/${name}.log`, `${line}\n`).catch(() => {}); // the folder may be deleted
    this.#writing.add(written);
    written.finally(() => this.#writing.delete(written));
    return true;
  }

  #addBreach(text: string): void {
    this.breaches.push({ kind: "wrong", text });
  }
}
