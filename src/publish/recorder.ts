/**
 * Outcomes of fresh routes → PostgreSQL, while the next are handed off: those of all channels together, and with them all
 * that come until a transaction can begin. Until they are recorded, the leases tell which of the routes are published.
 */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { atOnce, inTransaction } from "../postgres/transaction.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { leaseKeyOf, shortenLeases } from "./hand_off.ts";
import { recordSettlements, statementsFor } from "./record.ts";
import type { Settlement } from "./settle.ts";

/** What the channels hand off for one intent comes within about this time; nobody waits for its record. */
const GATHER_MS = 2;
/** About a full batch of each channel; what comes beyond it is the next transaction's. */
const MAX_GATHERED = 2_000;

export interface RecorderOptions {
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly clock: Clock;
}

interface Gathering {
  readonly outcomes: Settlement[];
  /** Those of them that changed nothing: another publisher was first. */
  readonly missed: Promise<ReadonlySet<Settlement>>;
}

export class Recorder {
  readonly #options: RecorderOptions;
  #gathering: Gathering | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #shortening: Promise<unknown> = Promise.resolve();

  constructor(options: RecorderOptions) {
    this.#options = options;
  }

  /**
   * Resolves when they are committed, with those of them that changed something.
   * @throws what PostgreSQL says: then none of them is recorded, whichever was at fault
   */
  async record(outcomes: readonly Settlement[]): Promise<readonly Settlement[]> {
    if (this.#gathering === undefined || this.#gathering.outcomes.length >= MAX_GATHERED) {
      this.#gathering = this.#begin();
    }
    const gathering = this.#gathering;
    gathering.outcomes.push(...outcomes);
    const missed = await gathering.missed;
    return missed.size === 0 ? outcomes : outcomes.filter((outcome) => !missed.has(outcome));
  }

  /** To be called once outcomes are committed: the leases of those published live on for a claim's life. */
  release(recorded: Iterable<Settlement>): void {
    const keys: string[] = [];
    for (const { kind, route } of recorded) {
      if (kind === "published") keys.push(leaseKeyOf(route.record.notificationId, route.routeId));
    }
    if (keys.length === 0) return;
    // A lease whose life can't be cut lives for its full time, which costs Redis memory and nothing else.
    this.#shortening = shortenLeases(this.#options.redis, keys).catch(() => {});
  }

  /** Resolves when the leases are cut of all that was released. */
  async released(): Promise<void> {
    await this.#shortening;
  }

  #begin(): Gathering {
    const outcomes: Settlement[] = [];
    const missed = this.#recordAfter(this.#last, outcomes);
    this.#last = missed.catch(() => {});
    return { outcomes, missed };
  }

  async #recordAfter(last: Promise<unknown>, outcomes: readonly Settlement[]): Promise<ReadonlySet<Settlement>> {
    const { postgres, clock } = this.#options;
    await Promise.all([last, clock.sleep(GATHER_MS)]);
    if (this.#gathering?.outcomes === outcomes) this.#gathering = undefined;
    const record = (client: pg.ClientBase) => recordSettlements(client, outcomes);
    const isOneStatement = statementsFor(outcomes) === 1;
    const recorded = await (isOneStatement ? atOnce(postgres, record) : inTransaction(postgres, record));
    this.release(recorded);
    if (recorded.length === outcomes.length) return new Set();
    const missed = new Set(outcomes);
    for (const settlement of recorded) missed.delete(settlement);
    return missed;
  }
}
