/**
 * What intake waits for, as the consumer last found it → a key in Redis, from which every instance and every command learns it.
 *
 * The consumer writes the key at each try that fails, and deletes it with the first that does not. Should it die meanwhile, the key
 * expires; readers ignore one about another entry than the next.
 */
import type { RedisConnection } from "../redis/connection.ts";
import { intakeStallKey } from "../redis/keys.ts";
import { escapeControls } from "../notification/control_characters.ts";

export interface IntakeStall {
  /** As in `notification.dependency.unavailable`. */
  readonly dependency: string;
  /** What it answered. */
  readonly reason: string;
  /** The entry that can't be dealt with; absent where the consumer did not come as far as an entry. */
  readonly entryId?: string | undefined;
  /** The user whom the User Service can't answer for. */
  readonly recipient?: string | undefined;
}

/** Twice as long as the longest pause between two tries: a `Retry-After` of a minute. */
const LIFE_MS = 120_000;

export class StallNote {
  readonly #redis: RedisConnection;
  readonly #key: string;
  /** An earlier consumer may have left one. */
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

  /** Call this whenever intake got on: Redis is asked once after each stall. */
  clear(): void {
    if (!this.#mayExist) return;
    this.#mayExist = false;
    this.#send("DEL", this.#key);
  }

  /** Call this when another consumer may have written one. */
  forget(): void {
    this.#mayExist = true;
  }

  /** Resolves when all that was sent is answered. Never rejects. */
  async sent(): Promise<void> {
    await this.#sent;
  }

  #send(command: string, ...args: (string | number)[]): void {
    // For others to see: where Redis takes no writes, the next try's note will do, or the key expires.
    this.#sent = this.#redis.call(command, ...args).catch(() => {});
  }
}

/** `undefined` where the text is not such a note. */
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

/** In one line without control characters. `entry 1-0 waits for user "u1": it answered with status 503 (user_service)`. */
export function stallText({ dependency, reason, entryId, recipient }: IntakeStall): string {
  const entry = entryId === undefined ? "intake" : `entry ${entryId}`;
  const what = recipient === undefined ? dependency : `user ${JSON.stringify(recipient)}`;
  return escapeControls(`${entry} waits for ${what}: ${reason}${recipient === undefined ? "" : ` (${dependency})`}`);
}
