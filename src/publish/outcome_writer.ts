/**
 * Outcomes of all channels → PostgreSQL, while the publishers' passes continue; then the leases of published routes are
 * shortened. Outcomes are written nowhere else.
 *
 * All outcomes that arrived since the last write began are gathered, those of both channels: one statement writes the
 * publications, then one transaction the failures and dead letters. So trouble with one channel's outcomes may delay
 * the other's. Until outcomes are written, the leases show which routes are published; routes whose outcomes can't be
 * written are claimed again when their claims end.
 */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { entryTimeMs } from "../notification/stream_entry.ts";
import { postgresFailure } from "../postgres/failures.ts";
import { atOnce, inTransaction } from "../postgres/transaction.ts";
import type { RedisConnection } from "../redis/connection.ts";
import type { RedisError } from "../redis/failures.ts";
import { routeLeaseKey } from "../redis/keys.ts";
import { REBUILD_MARGIN_MS } from "../stream_offset/stream_offset.ts";
import { createLeaseEvents } from "./lease_events.ts";
import { bothOver } from "./unwritten.ts";
import { shortenLeases } from "./shorten_leases.ts";
import { kindsOf, type Result, writeOutcomes, type WrittenOutcomes } from "./write_outcomes.ts";

/**
 * How long outcomes are gathered for one statement, unless a publisher waits for them ({@link OutcomeWriter.hurry}).
 * Fewer commits leave PostgreSQL to the statements that accept: at 1,000 intents a second 10 ms cost it a quarter less
 * CPU an intent than 2 ms.
 */
const GATHER_MS = 10;
/** About a full batch of each channel; later outcomes belong to the next transaction. */
const MAX_GATHERED = 2_000;

export interface OutcomeWriterOptions {
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly clock: Clock;
  /** Called when publications were not written because their epoch is over. */
  readonly onUncheckedServer: () => void;
}

export interface Written {
  /** Those that changed a row. */
  readonly written: readonly Result[];
  /** Those that PostgreSQL refuses for their data, with its error. */
  readonly refused: readonly (readonly [Result, error: unknown])[];
}

interface Gathering {
  readonly results: Result[];
  readonly hurry: () => void;
  readonly outcome: Promise<{ readonly written: ReadonlySet<Result>; readonly refused: ReadonlyMap<Result, unknown> }>;
}

export class OutcomeWriter {
  readonly #options: OutcomeWriterOptions;
  readonly #leaseEvents = createLeaseEvents();
  #gathering: Gathering | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #shortening: Promise<void> = Promise.resolve();

  constructor(options: OutcomeWriterOptions) {
    this.#options = options;
  }

  /**
   * Resolves when they are committed.
   * @throws the error of PostgreSQL, other than for data: then none of them is known to be written
   */
  async write(results: readonly Result[]): Promise<Written> {
    if (this.#gathering === undefined || this.#gathering.results.length >= MAX_GATHERED) {
      this.#gathering = this.#begin();
    }
    const gathering = this.#gathering;
    gathering.results.push(...results);
    const { written, refused } = await gathering.outcome;
    return {
      written: results.filter((result) => written.has(result)),
      refused: results.flatMap((result) => refused.has(result) ? [[result, refused.get(result)] as const] : []),
    };
  }

  /** Ends the gathering. Call this before waiting for outcomes. */
  hurry(): void {
    this.#gathering?.hurry();
  }

  /** Resolves when the leases of all written outcomes are shortened, or could not be. */
  async leasesShortened(): Promise<void> {
    await this.#shortening;
  }

  #begin(): Gathering {
    const results: Result[] = [];
    const hurried = new AbortController();
    const gathered = Promise.all([this.#last, this.#options.clock.sleep(GATHER_MS, hurried.signal)]);
    const outcome = this.#writeAfter(gathered, results);
    this.#last = outcome.catch(() => {});
    return { results, outcome, hurry: () => hurried.abort() };
  }

  async #writeAfter(gathered: Promise<unknown>, results: readonly Result[]): Gathering["outcome"] {
    await gathered;
    if (this.#gathering?.results === results) this.#gathering = undefined;
    const refused = new Map<Result, unknown>();
    const written: Result[] = [];
    for (const part of await this.#writeHalving(results, refused)) {
      written.push(...part.written);
      this.#shortenLeases(part);
      if (part.hasStale) this.#options.onUncheckedServer();
    }
    return { written: new Set(written), refused };
  }

  /** Results that PostgreSQL refuses for their data are halved down to those at fault, which stay claimed. */
  async #writeHalving(results: readonly Result[], refused: Map<Result, unknown>): Promise<readonly WrittenOutcomes[]> {
    const { postgres } = this.#options;
    const [published, others] = [results.filter(isPublished), results.filter((result) => !isPublished(result))];
    if (published.length > 0 && others.length > 0) {
      // Publications have a statement of their own: it locks the rows of the offsets, and a transaction with further
      // statements would keep other instances waiting for this process.
      const first = await this.#writeHalving(published, refused);
      return [...first, ...await this.#writeHalving(others, refused)];
    }
    const write = (client: pg.ClientBase) => writeOutcomes(client, results);
    try {
      return [await (kindsOf(results) === 1 ? atOnce(postgres, write) : inTransaction(postgres, write))];
    } catch (error) {
      if (postgresFailure(error) !== "data") throw error;
      if (results.length === 1) {
        refused.set(results[0]!, error);
        return [];
      }
    }
    const half = Math.ceil(results.length / 2);
    const first = await this.#writeHalving(results.slice(0, half), refused);
    return [...first, ...await this.#writeHalving(results.slice(half), refused)];
  }

  #shortenLeases({ written, moved }: WrittenOutcomes): void {
    const keys: string[] = [];
    const latestMs = Math.max(0, ...moved.map(({ entryId }) => entryTimeMs(entryId)));
    for (const result of written) {
      if (result.kind !== "published") continue;
      const { route, publication } = result;
      // Leases of entries that were appended long before the others are not rebuilt: they keep their full life.
      if (latestMs - entryTimeMs(publication.entryId) > REBUILD_MARGIN_MS / 2) continue;
      keys.push(routeLeaseKey(route.record.notificationId, route.routeId));
    }
    if (moved.length === 0 && keys.length === 0) return;
    const shortening = shortenLeases(this.#options.redis, keys, moved).catch((error: RedisError) => {
      this.#leaseEvents.notShortened(keys.length, error);
    });
    this.#shortening = bothOver(this.#shortening, shortening);
  }
}

function isPublished({ kind }: Result): boolean {
  return kind === "published";
}
