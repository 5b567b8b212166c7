/**
 * What intake waits for → a key in Redis, which every instance and every command can read.
 *
 * The consumer writes the key at each try that fails, and deletes it at the first try that succeeds. If the consumer
 * dies, the key expires. Readers ignore a key about an entry that is not the next one.
 */
import type { RedisConnection } from "../redis/connection.ts";
import { intakeStallKey } from "../redis/keys.ts";
import { escapeControls } from "../notification/control_characters.ts";

export interface IntakeStall {
  /** As in `notification.dependency.unavailable`. */
  readonly dependency: string;
  /** What the dependency answered. */
  readonly reason: string;
  /** The entry at which intake waits; `undefined` if the consumer could not read an entry. */
  readonly entryId?: string | undefined;
  /** The user whom the User Service can't answer for. */
  readonly recipient?: string | undefined;
}

/** Twice as long as the longest pause between two tries: a `Retry-After` of a minute. */
const LIFE_MS = 120_000;

export class StallNote {
  readonly #redis: RedisConnection;
  readonly #key: string;
  /** `true` at first, because an earlier consumer may have left a key. */
  #mayExist = true;
  #sent: Promise<unknown> = Promise.resolve();

  constructor({ redis, stream }: { readonly redis: RedisConnection; readonly stream: string }) {
    this.#redis = redis;
    this.#key = intakeStallKey(stream);
  }

  write(stall: IntakeStall): void {
    this.#mayExist = true;
    this.#send("SET", this.#key, JSON.stringify(stall), "PX", LIFE_MS);
  }

  /** Call this after each pass that succeeds: the key is deleted once after each stall. */
  clear(): void {
    if (!this.#mayExist) return;
    this.#mayExist = false;
    this.#send("DEL", this.#key);
  }

  /** Call this when another consumer may have written the key. */
  forget(): void {
    this.#mayExist = true;
  }

  /** Resolves when all that was sent is answered. Never rejects. */
  async sent(): Promise<void> {
    await this.#sent;
  }

  #send(command: string, ...args: (string | number)[]): void {
    // A failure does not matter: the next try writes again, or the key expires.
    this.#sent = this.#redis.call(command, ...args).catch(() => {});
  }
}

/** `undefined` if the text is not a stall. */
export function parseStall(text: string): IntakeStall | undefined {
  try {
    const { dependency, reason, entryId, recipient } = JSON.parse(text);
    const isText = (value: unknown) => value === undefined || typeof value === "string";
    if (typeof dependency !== "string" || typeof reason !== "string") return undefined;
    return isText(entryId) && isText(recipient) ? { dependency, reason, entryId, recipient } : undefined;
  } catch {
    return undefined;
  }
}

/**
 * In one line without control characters. `entry 1-0 waits for user "u1": it answered with status 503 (user_service)`.
 */
export function stallText({ dependency, reason, entryId, recipient }: IntakeStall): string {
  const entry = entryId === undefined ? "intake" : `entry ${entryId}`;
  const what = recipient === undefined ? dependency : `user ${JSON.stringify(recipient)}`;
  return escapeControls(`${entry} waits for ${what}: ${reason}${recipient === undefined ? "" : ` (${dependency})`}`);
}
