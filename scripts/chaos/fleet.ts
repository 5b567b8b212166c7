/**
 * The setting → instances of the service that join, leave, are killed and frozen.
 *
 * Each has a name, which the consumer's lease and PostgreSQL show; one that ends by itself is started again, as a
 * supervisor would do, and it is noted as a breach unless a dependency was out while it started; so is every line of a
 * log that must never be written.
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

/** Batch sizes: as they are by default, or so small that nearly every moment falls between two batches. */
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
  /** Variables beyond those of the profile. */
  readonly env: Readonly<Record<string, string>>;
  /** The folder of another version's source; absent for the present one. */
  readonly root: string | undefined;
  readonly process: ServiceProcess;
  /** Settles when it answers its probe; rejects when it ends before. */
  readonly ready: Promise<void>;
  isReady: boolean;
  /** Infinite until then. */
  readyAtMs: number;
  isFrozen: boolean;
  /** The harness has ended it, or is about to. */
  isExpectedToEnd: boolean;
}

/** Parts of lines that no fault of ours can explain: nothing is trimmed or replaced here. */
const ALARMS = [
  "trimmed unread",
  "another stream",
  "unexpected error",
  "can't be written",
];
/** Parts of lines that only a store that has lost something explains. */
const LOSS_ALARMS = ["PostgreSQL lost commits", "Redis lost the last entries", "a repair is finished"];
/** The exit code of a start that a dependency failed. */
const DEPENDENCY_EXIT = 69;
const LAST_LINES = 15;
const RESTART_PAUSE_MS = 500;

/**
 * The instance's name in a process's id, as the consumer lease has it: `<name>/<process>`, in version 0.1 the name
 * alone.
 */
export function instanceOf(processId: string | null): string | undefined {
  return processId?.split("/")[0];
}

/** SQL: whether a backend is of the instance whose name is `$1`. */
export const IS_OF_INSTANCE = "application_name ~ ('^notification-service/' || $1 || '(/|$)')";

export class Fleet implements AsyncDisposable {
  readonly instances: Instance[] = [];
  readonly logFolder: string;
  /** What the instances did that no supervisor should see; emptied by the caller that reports it. */
  breaches: Breach[] = [];
  /** Something is out that a start needs. */
  mayFailToStart = false;
  /** A store may have lost something. */
  mayTellOfLosses = false;
  /** How often instances said that something is out, by its name in the log. */
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

  /** Starts one more; returns at once. */
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
    }, { root, keep: { most: 300, isWorthIt: (line) => this.#hear(line, { name, reported }) } });
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
    instance.ready.catch(() => {}); // its end reports it
    this.instances.push(instance);
    this.#supervise(instance);
    return instance;
  }

  /** SIGTERM, and its orderly end. */
  async leave(instance: Instance): Promise<void> {
    instance.isExpectedToEnd = true;
    const { code, durationMs } = await instance.process.terminate();
    if (code !== 0) {
      this.#note(`${instance.name} ended with code ${code} after SIGTERM and ${Math.round(durationMs)} ms`);
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

  /** Lets instances join and leave until there are so many of that profile, all of them ready. */
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

  /** Returns when every instance answers its probe. */
  async allReady(timeoutMs = 30_000): Promise<void> {
    await eventually(() => this.instances.length > 0 && this.instances.every(({ isReady }) => isReady), {
      ...{ timeoutMs, intervalMs: 20 },
      message: "Not every instance got ready",
    });
  }

  /** The instance that holds the consumer's lease. */
  async consuming(): Promise<Instance | undefined> {
    const name = instanceOf(await this.#setting.redis.get(consumerLeaseKey(STREAMS.intents)));
    return this.instances.find((instance) => instance.name === name);
  }

  /** What the last few instances logged last, the ended ones too. */
  async lastLines(): Promise<{ name: string; lines: string[] }[]> {
    await Promise.all(this.#writing);
    const names = Array.from({ length: Math.min(4, this.#joined) }, (_, at) => `chaos-${this.#joined - at}`);
    return await Promise.all(names.map(async (name) => {
      const text = await readFile(`${this.logFolder}/${name}.log`, "utf8").catch(() => ""); // it never said a word
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
    if (!isFailedStart) this.#note(`${name} ended by itself with code ${code}: ${process.output().slice(-600)}`);
    await sleep(RESTART_PAUSE_MS);
    if (!this.#isClosed) await this.join(profile, env, { root });
  }

  #hear(line: string, { name, reported }: { name: string; reported: ReportedOutages }): boolean {
    if (line.includes('"message":"accepted"')) return false;
    const wrong = reported.hear(line);
    if (wrong !== undefined) this.#note(`${name} ${wrong}`);
    const alarms = this.mayTellOfLosses ? ALARMS : [...ALARMS, ...LOSS_ALARMS];
    if (alarms.some((part) => line.includes(part))) this.#note(`${name} logged ${line.slice(0, 600)}`);
    const written = appendFile(`${this.logFolder}/${name}.log`, `${line}\n`).catch(() => {}); // the folder may be gone
    this.#writing.add(written);
    written.finally(() => this.#writing.delete(written));
    return true;
  }

  #note(text: string): void {
    this.breaches.push({ kind: "wrong", text });
  }
}
