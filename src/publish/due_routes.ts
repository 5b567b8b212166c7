/**
 * The second source of batches: routes that are due, no matter which process accepted them. One claim takes many
 * routes. Their records are read, and passed to the publisher, in batches of bounded size, all under that claim.
 *
 * While more routes are due, the next batch is prepared ahead: PostgreSQL claims and reads while Redis appends. Routes
 * that are not handed off before the claim ends are due again, also after a failure.
 */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { BatchLimit } from "../lifecycle/batch_limit.ts";
import type { Catalog } from "../notification/catalog.ts";
import { type Channel, CLAIM_MS, type ClaimedRoute, type StoredRecord } from "../notification/route.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { redisTimeMs } from "../redis/time.ts";
import { type Batch, type ClaimStart, isOver, MAX_BATCH_CHARS } from "../relay/batch.ts";
import { type Claim, claimDue, type UnreadRoute } from "./claim_due.ts";
import { withProblem } from "./encode.ts";
import { readRecords, type RecordRow } from "./read_records.ts";
import { Scan } from "./scan.ts";

/** The interval between claims while no route is known to become due earlier. */
const LOOK_MS = 1_000;

export interface DueRoutesOptions {
  readonly channel: Channel;
  readonly batchSize: number;
  readonly catalog: Catalog;
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly clock: Clock;
}

export class DueRoutes {
  readonly #options: DueRoutesOptions;
  readonly #scan: Scan;
  /**
   * Routes whose records are read together. Fewer while payloads are large: PostgreSQL unpacks one to know its size.
   */
  readonly #readLimit: BatchLimit;
  /** Routes claimed together. Fewer while not all of them can be handed off before their claim ends. */
  readonly #claimLimit: BatchLimit;
  /** Routes of the last claim whose records are not read yet. */
  #unread: readonly UnreadRoute[] = [];
  #claimStart: ClaimStart = { takenAtMs: 0, takenAt: -Infinity };
  /** By the monotonic clock. */
  #lookAt = -Infinity;
  /** The next batch, taken while the last one is handed off. */
  #ahead: Promise<Batch | undefined> | undefined;

  constructor(options: DueRoutesOptions) {
    this.#options = options;
    this.#scan = new Scan(options.clock);
    this.#readLimit = new BatchLimit(options.batchSize);
    this.#claimLimit = new BatchLimit(options.batchSize);
  }

  /** Milliseconds until it is time to take. */
  get inMs(): number {
    return this.#ahead !== undefined || this.#unread.length > 0
      ? 0
      : Math.max(0, this.#lookAt - this.#options.clock.monotonic());
  }

  /** Announces a route that becomes due in `ms` milliseconds and that the last claim did not see. */
  expect(ms: number): void {
    this.#lookAt = Math.min(this.#lookAt, this.#options.clock.monotonic() + ms);
  }

  /** The next batch; absent when nothing is due. Claims at most `limit` routes at a time. */
  async take(limit: number): Promise<Batch | undefined> {
    const ahead = await this.#ahead;
    this.#ahead = undefined;
    const isUsable = ahead !== undefined && !isOver(ahead, this.#options.clock.monotonic());
    const batch = isUsable ? ahead : await this.#prepare(limit);
    if (batch !== undefined && this.inMs === 0) {
      this.#ahead = this.#prepare(limit);
      // Its error is reported when the batch is taken.
      this.#ahead.catch(() => {});
    }
    return batch;
  }

  /**
   * Drops the batch that was prepared ahead: after a failure the next batch comes from a new claim, which begins at the
   * earliest due time. A claim skips rows that are locked, as by an outcome that is being written, and the next one
   * begins after them.
   */
  dropAhead(): void {
    this.#ahead = undefined;
    this.#unread = [];
    this.#scan.startOver();
  }

  /** Resolves when no statement of this object is running. */
  async settled(): Promise<void> {
    await this.#ahead?.catch(() => {});
  }

  /** Reads the records of claimed routes into a batch; claims routes first if none are left to read. */
  async #prepare(limit: number): Promise<Batch | undefined> {
    const { clock } = this.#options;
    if (this.#unread.length > 0 && isOver({ ...this.#claimStart, lifeMs: CLAIM_MS }, clock.monotonic())) {
      this.#claimLimit.halve();
      this.#unread = [];
    }
    if (this.#unread.length === 0) await this.#claim(Math.min(limit, this.#claimLimit.value));
    const routes = await this.#read();
    if (this.#unread.length === 0) this.#claimLimit.grow();
    return routes.length === 0 ? undefined : { ...this.#claimStart, lifeMs: CLAIM_MS, routes };
  }

  async #claim(limit: number): Promise<void> {
    const { channel, postgres, redis, clock } = this.#options;
    // Redis's clock is read first: the claim must be later than the reading. If Redis does not answer, nothing is
    // claimed.
    const takenAt = clock.monotonic();
    const takenAtMs = await redisTimeMs(redis);
    const from = this.#scan.begin();
    let claim: Claim;
    try {
      claim = await claimDue(postgres, { channel, limit, from });
    } catch (error) {
      this.#scan.startOver();
      throw error;
    }
    const { routes, isFull, upTo, nextDueInMs } = claim;
    this.#scan.took(clock.monotonic() - takenAt, { from, isFull });
    this.#scan.goOnFrom(upTo);
    this.#unread = routes;
    this.#claimStart = { takenAtMs, takenAt };
    this.#lookAt = clock.monotonic() + (isFull ? 0 : Math.min(LOOK_MS, nextDueInMs ?? LOOK_MS));
  }

  /** The first of the unread routes, with their records; bounded in payload, one route always fits. */
  async #read(): Promise<ClaimedRoute[]> {
    const asked = this.#unread.slice(0, this.#readLimit.value);
    if (asked.length === 0) return [];
    const wanted = new Map<string, number>();
    for (const { notificationId } of asked) wanted.set(notificationId, (wanted.get(notificationId) ?? 0) + 1);
    const rows = await readRecords(this.#options.postgres, { wanted, maxBytes: MAX_BATCH_CHARS });
    const routes = this.#joined(asked, rows);
    this.#unread = this.#unread.slice(routes.length);
    if (routes.length < asked.length) this.#readLimit.reduceTo(routes.length);
    else this.#readLimit.grow();
    return routes;
  }

  #joined(asked: readonly UnreadRoute[], rows: readonly RecordRow[]): ClaimedRoute[] {
    const records = new Map<string, StoredRecord>();
    for (const row of rows) records.set(row.notificationId, withProblem(row, this.#options.catalog));
    const routes: ClaimedRoute[] = [];
    let chars = 0;
    for (const { notificationId, ...route } of asked) {
      const record = records.get(notificationId);
      if (record === undefined || chars >= MAX_BATCH_CHARS) break;
      chars += record.payload.length;
      routes.push({ record, ...route });
    }
    return routes;
  }
}
