/**
 * The consumer lease decides which of several instances consumes a stream: a key in Redis that lives 5 s and is renewed
 * every second.
 *
 * It serves efficiency, not correctness: if two instances consume at once, one works in vain, because the accepting
 * transaction compares and sets the offset.
 */
import type { Clock } from "../clock.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { RedisError, refusesAllWrites } from "../redis/failures.ts";
import { consumerLeaseKey } from "../redis/keys.ts";

const LEASE_MS = 5000;
const RENEW_MS = 1000;

const TAKE = new Script(`
local owner = redis.call('GET', KEYS[1])
if owner == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if owner then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`);

/**
 * If no instance can have the lease, because Redis is over `maxmemory` or the key is not a string, intake goes on
 * without it.
 */
function canDoWithout({ code }: RedisError): boolean {
  return code === "WRONGTYPE" || (code !== "READONLY" && refusesAllWrites(code));
}

const RELEASE = new Script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`);

export class ConsumerLease {
  readonly #redis: RedisConnection;
  readonly #key: string;
  readonly #processId: string;
  readonly #clock: Clock;
  /** By the monotonic clock. */
  #heldUntil = -Infinity;
  #keeping: Promise<void> | undefined;

  constructor(options: { redis: RedisConnection; stream: string; processId: string; clock: Clock }) {
    this.#redis = options.redis;
    this.#key = consumerLeaseKey(options.stream);
    this.#processId = options.processId;
    this.#clock = options.clock;
  }

  get isHeld(): boolean {
    return this.#clock.monotonic() < this.#heldUntil;
  }

  /** Takes the lease if it is free, renews it if this process has it. Returns whether this process has it now. */
  async take(): Promise<boolean> {
    const askedAt = this.#clock.monotonic();
    let taken: boolean;
    try {
      taken = await this.#redis.run(TAKE, [this.#key], [this.#processId, LEASE_MS]) === 1;
    } catch (error) {
      if (!(error instanceof RedisError && canDoWithout(error))) throw error;
      taken = true;
    }
    this.#heldUntil = taken ? askedAt + LEASE_MS : -Infinity;
    return taken;
  }

  /** Starts to renew the lease every second while this process has it, until `stop` aborts. */
  keep(stop: AbortSignal): void {
    this.#keeping ??= this.#renew(stop);
  }

  /** Lets another instance take over at once, or within five seconds if Redis does not answer. Never rejects. */
  async release(): Promise<void> {
    await this.#keeping;
    if (!this.isHeld) return;
    this.#heldUntil = -Infinity;
    await this.#redis.run(RELEASE, [this.#key], [this.#processId]).catch(() => {});
  }

  async #renew(stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      await this.#clock.sleep(RENEW_MS, stop);
      if (stop.aborted || !this.isHeld) continue;
      // The consumer meets the same outage and reports it; the lease expires by itself.
      await this.take().catch(() => {});
    }
  }
}
