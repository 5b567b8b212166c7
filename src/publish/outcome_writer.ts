/**
 * Outcomes of all channels → PostgreSQL, behind the publishers' passes, then the leases of what is published are shortened.
 * The one place that writes outcomes.
 *
 * One transaction writes all that came since the one before began, so that a channel's trouble with PostgreSQL may delay the
 * other's. Until outcomes are written, the leases say which routes are published; what can't be written is claimed again
 * when its claim ends.
 */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { postgresFailure } from "../postgres/failures.ts";
import { atOnce, inTransaction } from "../postgres/transaction.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { routeLeaseKey } from "../redis/keys.ts";
import { shortenLeases } from "./shorten_leases.ts";
import { type Result, statementsFor, writeOutcomes } from "./write_outcomes.ts";

/** What the channels hand off for one intent comes within about this time; nothing waits for its outcome. */
const GATHER_MS = 2;
/** About a full batch of each channel; what comes beyond that is the next transaction's. */
const MAX_GATHERED = 2_000;

export interface OutcomeWriterOptions {
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly clock: Clock;
  /** PostgreSQL refuses this one outcome for its data. */
  readonly onRefused: (result: Result, error: unknown) => void;
  /** Leases keep their full life, as when the Redis user may not shorten them. */
  readonly onLeasesKept: (leases: number, error: unknown) => void;
}

interface Gathering {
  readonly results: Result[];
  /** Those that changed a row. */
  readonly written: Promise<ReadonlySet<Result>>;
}

export class OutcomeWriter {
  readonly #options: OutcomeWriterOptions;
  #gathering: Gathering | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #shortening: Promise<void> = Promise.resolve();

  constructor(options: OutcomeWriterOptions) {
    this.#options = options;
  }

  /**
   * Resolves when they are committed, with those that changed a row.
   * @throws the error of PostgreSQL: then none of them is known to be written
   */
  async write(results: readonly Result[]): Promise<readonly Result[]> {
    if (this.#gathering === undefined || this.#gathering.results.length >= MAX_GATHERED) {
      this.#gathering = this.#begin();
    }
    const gathering = this.#gathering;
    gathering.results.push(...results);
    const written = await gathering.written;
    return results.filter((result) => written.has(result));
  }

  /** Resolves when the leases of all that was written are shortened, or could not be. */
  async leasesShortened(): Promise<void> {
    await this.#shortening;
  }

  #begin(): Gathering {
    const results: Result[] = [];
    const written = this.#writeAfter(this.#last, results);
    this.#last = written.catch(() => {});
    return { results, written };
  }

  async #writeAfter(last: Promise<unknown>, results: readonly Result[]): Promise<ReadonlySet<Result>> {
    await Promise.all([last, this.#options.clock.sleep(GATHER_MS)]);
    if (this.#gathering?.results === results) this.#gathering = undefined;
    const written = await this.#writeHalving(results);
    this.#shortenLeases(written);
    return new Set(written);
  }

  /** Results that PostgreSQL refuses for their data are halved down to the one at fault, which stays claimed. */
  async #writeHalving(results: readonly Result[]): Promise<readonly Result[]> {
    const { postgres, onRefused } = this.#options;
    const write = (client: pg.ClientBase) => writeOutcomes(client, results);
    try {
      return await (statementsFor(results) === 1 ? atOnce(postgres, write) : inTransaction(postgres, write));
    } catch (error) {
      if (postgresFailure(error) !== "data") throw error;
      if (results.length === 1) {
        onRefused(results[0]!, error);
        return [];
      }
    }
    const half = Math.ceil(results.length / 2);
    const first = await this.#writeHalving(results.slice(0, half));
    return [...first, ...await this.#writeHalving(results.slice(half))];
  }

  #shortenLeases(written: readonly Result[]): void {
    const { redis, onLeasesKept } = this.#options;
    const keys: string[] = [];
    for (const { kind, route } of written) {
      if (kind === "published") keys.push(routeLeaseKey(route.record.notificationId, route.routeId));
    }
    if (keys.length === 0) return;
    this.#shortening = shortenLeases(redis, keys).catch((error) => onLeasesKept(keys.length, error));
  }
}
