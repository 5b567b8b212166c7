/**
 * The second loop, one for each channel: due routes go to the outbound stream, each once.
 *
 * A pass claims due routes, encodes them, hands them off, settles what became of each, and records it in the
 * transaction that holds the claim. Whatever dies in between, the routes are due again and their leases in Redis tell
 * which of them are published already.
 */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { OutageError } from "../lifecycle/outage.ts";
import type { Loop } from "../lifecycle/run_loop.ts";
import type { Wake } from "../lifecycle/wake.ts";
import type { Catalog } from "../notification/catalog.ts";
import { clientEvent } from "../notification/client_event.ts";
import { mailCommand } from "../notification/mail_command.ts";
import type { RecentRecords } from "../notification/recent_records.ts";
import type { RetryLadder } from "../notification/retry_ladder.ts";
import { type Channel, deliveryId, type DueRoute, type StoredRecord } from "../notification/route.ts";
import { entryTimeMs } from "../notification/stream_entry.ts";
import { describePostgresError, postgresFailure, ranPastItsTime } from "../postgres/failures.ts";
import { allAnswered, inTransaction } from "../postgres/transaction.ts";
import type { RedisConnection } from "../redis/connection.ts";
import type { RedisError } from "../redis/failures.ts";
import { type Events, routeFields } from "../telemetry/events.ts";
import { loggerOf } from "../telemetry/logging.ts";
import { type Claim, FROM_THE_BEGINNING, lockDueRoutes, MAX_PASS_BYTES, nextDueInMs, withRecords } from "./claim.ts";
import { type Delivery, handOff, leaseKeyOf, redisTimeMs, shortenLeases } from "./hand_off.ts";
import { recordSettlements } from "./record.ts";
import { type Attempt, settle, type Settlement } from "./settle.ts";

/** Routes that another instance made, or that another publisher gave up, are found within this time. */
const FULL_SCAN_MS = 1000;
/** The same while a backlog leaves no short pass to follow with a full scan. */
const FULL_SCAN_UNDER_BACKLOG_MS = 10_000;
/** A claim's life is shorter by as much as Redis's time is old. */
const MAX_TIME_AGE_MS = 2000;

export interface PublisherOptions {
  readonly channel: Channel;
  readonly outbound: { readonly stream: string; readonly maxLength: number };
  readonly batchSize: number;
  readonly leaseTtlMs: number;
  readonly waitReplicas: number;
  readonly operationTimeoutMs: number;
  readonly ladder: RetryLadder;
  readonly catalog: Catalog;
  readonly recentRecords: RecentRecords;
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  readonly events: Events;
  readonly clock: Clock;
  /** Rung when routes were accepted in this process. */
  readonly wake: Wake;
}

/** What one transaction did. */
interface Round {
  readonly claim: Claim;
  readonly settlements: readonly Settlement[];
  readonly outage: RedisError | undefined;
}

export class Publisher implements Loop {
  readonly name: `${Channel}_publisher`;
  readonly #options: PublisherOptions;
  /** Fewer than a full batch while one route is looked for that PostgreSQL refuses to record, or while a batch takes too long. */
  #limit: number;
  /** So that a claim locks and reads no more than it takes: PostgreSQL has to unpack a payload to know its size. */
  #expectedPayloadBytes = 1;
  #from = FROM_THE_BEGINNING;
  #lastFullScanMs = -Infinity;
  #lastWasShort = true;
  #idleMs = 0;
  /** Routes that could not be recorded, by delivery id, with the time at which they are tried again. */
  readonly #setAside = new Map<string, number>();
  #shortening: Promise<void> = Promise.resolve();
  /** Redis's time, as asked for at the end of the last pass; `at` by this process's clock. */
  #asked: { readonly at: number; readonly time: Promise<number | undefined> } | undefined;

  constructor(options: PublisherOptions) {
    this.name = `${options.channel}_publisher`;
    this.#options = options;
    this.#limit = options.batchSize;
  }

  async pass(): Promise<"again" | "idle"> {
    const { channel, events } = this.#options;
    const startedAt = performance.now();
    let claimed: readonly DueRoute[] = [];
    let round: Round;
    try {
      round = await this.#publish((routes) => claimed = routes);
    } catch (error) {
      this.#from = FROM_THE_BEGINNING;
      // A batch that takes longer than its time would do so again.
      if (ranPastItsTime(error)) this.#limit = Math.ceil(this.#limit / 2);
      if (postgresFailure(error) !== "data") throw error;
      this.#narrowDown(claimed, error);
      return "again";
    }
    const { claim, settlements, outage } = round;
    const unchanged = settlements.some(({ kind }) => kind === "unchanged");
    if (unchanged && outage === undefined) {
      this.#tellOfStaleClaim(claim);
    } else {
      this.#limit = Math.min(this.#options.batchSize, this.#limit * 2);
      this.#askRedisTime();
    }
    this.#shortenLeases(settlements);
    this.#tell(settlements);
    if (claim.routes.length > 0) events.publishDuration(channel, performance.now() - startedAt);

    this.#lastWasShort = !claim.isFull;
    if (unchanged) this.#from = FROM_THE_BEGINNING;
    else if (claim.upTo !== "") this.#from = claim.upTo;
    if (outage !== undefined) throw this.#outage(outage);
    return claim.isFull && !unchanged ? "again" : "idle";
  }

  async idle(stop: AbortSignal): Promise<void> {
    await this.#options.wake.wait(this.#idleMs, stop);
  }

  async close(): Promise<void> {
    await this.#shortening;
  }

  /** @param onClaimed told of the routes before anything is done with them */
  async #publish(onClaimed: (routes: readonly DueRoute[]) => void): Promise<Round> {
    const { postgres, redis, channel, outbound, events, recentRecords } = this.#options;
    const { leaseTtlMs, waitReplicas, operationTimeoutMs } = this.#options;
    const claimedAtMs = await this.#redisTime();
    const lock = (client: pg.ClientBase) =>
      lockDueRoutes(client, {
        channel,
        limit: Math.min(this.#limit, Math.ceil(MAX_PASS_BYTES / this.#expectedPayloadBytes)),
        from: this.#scanFrom(),
        except: this.#exceptions(),
      });
    return await inTransaction(postgres, async (client, locked) => {
      const found = await withRecords(client, locked, recentRecords);
      const claim: Claim = { ...found, routes: events.routesBegan(channel, found.routes, outbound.stream) };
      onClaimed(claim.routes);
      if (claim.routes.length > 0) this.#expectedPayloadBytes = averagePayloadBytes(claim.routes);
      const { deliveries, problems } = this.#encode(claim.routes);
      const { answers, outage } = await handOff(redis, deliveries, {
        stream: outbound.stream,
        maxLength: outbound.maxLength,
        leaseTtlMs,
        waitReplicas,
        waitMs: Math.floor(operationTimeoutMs / 2),
        claimedAtMs,
      });
      const settlements = claim.routes.map((route, index) => {
        const answer = answers[index]!;
        return this.#settle(
          route,
          answer.kind === "absent" ? { kind: "not_encodable", message: problems.get(route.record)! } : answer,
        );
      });
      // Sent in this order: a route that failed just now may be the next one due.
      const [, nextInMs] = await allAnswered([
        recordSettlements(client, settlements),
        claim.isFull ? undefined : nextDueInMs(client, channel),
      ]);
      this.#idleMs = Math.min(FULL_SCAN_MS, nextInMs ?? FULL_SCAN_MS);
      return { claim, settlements, outage };
    }, { first: lock });
  }

  /**
   * Redis's time before anything is claimed: a publisher that is paused from there on for longer than the claim's life
   * appends nothing. So that no pass waits for it, it is the time that was asked for at the end of the last one.
   */
  async #redisTime(): Promise<number> {
    const asked = this.#asked;
    this.#asked = undefined;
    const known = asked !== undefined && performance.now() - asked.at < MAX_TIME_AGE_MS ? await asked.time : undefined;
    return known ?? await redisTimeMs(this.#options.redis);
  }

  #askRedisTime(): void {
    this.#asked = { at: performance.now(), time: redisTimeMs(this.#options.redis).catch(() => undefined) };
  }

  /**
   * Routes become due in the order of time, so that a pass can begin where the last one ended, and need not pass over
   * index entries of finished routes that an old snapshot keeps. What appeared behind that is found by a full scan.
   */
  #scanFrom(): string {
    const now = this.#options.clock.now();
    const pauseMs = this.#lastWasShort ? FULL_SCAN_MS : FULL_SCAN_UNDER_BACKLOG_MS;
    if (now - this.#lastFullScanMs >= pauseMs) this.#from = FROM_THE_BEGINNING;
    if (this.#from === FROM_THE_BEGINNING) this.#lastFullScanMs = now;
    return this.#from;
  }

  #exceptions(): string[] {
    if (this.#setAside.size === 0) return [];
    const now = this.#options.clock.now();
    for (const [id, untilMs] of this.#setAside) if (untilMs <= now) this.#setAside.delete(id);
    return [...this.#setAside.keys()];
  }

  /**
   * One delivery for each route; one that can't be encoded only asks whether it was published before. A record that
   * this process accepted was checked then.
   */
  #encode(routes: readonly DueRoute[]): { deliveries: Delivery[]; problems: Map<StoredRecord, string | undefined> } {
    const encode = this.#options.channel === "push" ? clientEvent : mailCommand;
    const problems = new Map<StoredRecord, string | undefined>();
    const deliveries = routes.map((route): Delivery => {
      const { record } = route;
      if (record.acceptedHereAt === undefined && !problems.has(record)) {
        problems.set(record, this.#encodingProblem(record));
      }
      const fields = problems.get(record) === undefined ? encode(route) : [];
      return { leaseKey: leaseKeyOf(record.notificationId, route.routeId), fields };
    });
    return { deliveries, problems };
  }

  #encodingProblem({ notificationType, payload }: StoredRecord): string | undefined {
    if (notificationType === "") return "the route's record is gone";
    const type = this.#options.catalog.get(notificationType);
    if (type === undefined) return `notification type ${notificationType} is not in the catalog any more`;
    try {
      const problem = type.payloadProblem(JSON.parse(payload));
      return problem && `the payload does not match the type's schema any more: ${problem}`;
    } catch (error) {
      return `the stored payload is not JSON: ${(error as Error).message}`;
    }
  }

  #settle(route: DueRoute, attempt: Attempt): Settlement {
    const { channel, ladder, clock } = this.#options;
    return settle(route, attempt, { channel, ladder, random: clock.random() });
  }

  /** PostgreSQL refused the outcomes for their data: fewer at a time, until the one route at fault is alone. */
  #narrowDown(claimed: readonly DueRoute[], error: unknown): void {
    const { channel, clock, ladder } = this.#options;
    if (claimed.length > 1 || (claimed.length === 0 && this.#limit > 1)) {
      this.#limit = Math.ceil((claimed.length || this.#limit) / 2);
      return;
    }
    const route = claimed[0];
    if (route === undefined) throw error;
    this.#setAside.set(deliveryId(route), clock.now() + ladder.backoffMaxMs);
    loggerOf(this.name).error("the outcome of a route can't be recorded: it is set aside", {
      ...routeFields(route, channel),
      reason: describePostgresError(error),
      retry_in_ms: ladder.backoffMaxMs,
    });
  }

  /** What claimed so many was so slow that their claim was too old for the script. */
  #tellOfStaleClaim({ routes }: Claim): void {
    this.#limit = Math.ceil(routes.length / 2);
    loggerOf(this.name).warn("a claim was too old when it reached Redis: fewer routes at a time", {
      routes: routes.length,
    });
  }

  #shortenLeases(settlements: readonly Settlement[]): void {
    const keys = settlements
      .filter(({ kind }) => kind === "published")
      .map(({ route }) => leaseKeyOf(route.record.notificationId, route.routeId));
    if (keys.length === 0) return;
    // A lease whose life can't be cut lives for its full time, which costs Redis memory and nothing else.
    this.#shortening = shortenLeases(this.#options.redis, keys).catch(() => {});
  }

  #outage(error: RedisError): OutageError {
    // The master has moved: a new connection may find it.
    if (error.code === "READONLY") this.#options.redis.replace();
    return new OutageError("redis", error.message, { cause: error });
  }

  #tell(settlements: readonly Settlement[]): void {
    const { channel, events, clock } = this.#options;
    const now = clock.now();
    const latenciesMs: number[] = [];
    const failed: Extract<Settlement, { kind: "failed" }>[] = [];
    const deadLetters: Extract<Settlement, { kind: "dead_letter" }>[] = [];
    for (const settlement of settlements) {
      switch (settlement.kind) {
        case "published":
          latenciesMs.push(Math.max(0, now - entryTimeMs(settlement.route.record.streamEntryId)));
          events.routePublished(channel, settlement.route, settlement.entryId);
          break;
        case "failed":
          failed.push(settlement);
          break;
        case "dead_letter":
          deadLetters.push(settlement);
          break;
        case "unchanged":
          break;
        default:
          settlement satisfies never;
      }
    }
    events.published(channel, latenciesMs);
    events.attemptsFailed(channel, failed);
    events.deadLetters(channel, deadLetters);
  }
}

function averagePayloadBytes(routes: readonly DueRoute[]): number {
  const bytes = routes.reduce((sum, { record }) => sum + record.payload.length, 0);
  return Math.max(1, bytes / Math.max(1, routes.length));
}
