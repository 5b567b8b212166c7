/**
 * The first loop: entries of the intent stream become records with routes, which are handed over to the publishers.
 *
 * A pass: read a batch → decode it → judge each entry → accept them, in one transaction that also moves the offset → hand the
 * routes over. Nothing is passed over that has no outcome; whatever dies in between, the same entries are read again.
 *
 * Two roles: *consuming* while this instance has the consumer lease, *standby* while another one has it.
 *
 * How many entries make a batch is one limit: halved when PostgreSQL refuses a batch for its data, until the entry at fault is
 * alone, and when a batch takes a store too long; cut where entries have many recipients; doubled by each batch that is accepted.
 */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { BatchLimit } from "../lifecycle/batch_limit.ts";
import { OutageError } from "../lifecycle/outage.ts";
import type { Loop } from "../lifecycle/run_loop.ts";
import type { Catalog } from "../notification/catalog.ts";
import type { Intent } from "../notification/intent.ts";
import { BIRTH_CLAIM_MS, type Channel } from "../notification/route.ts";
import { postgresFailure, ranPastItsTime } from "../postgres/failures.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { redisTimeMs } from "../redis/time.ts";
import { type ClaimStart } from "../relay/batch.ts";
import type { Relay } from "../relay/relay.ts";
import { loggerOf } from "../telemetry/logging.ts";
import type { UserService } from "../user_service/client.ts";
import { type AcceptanceResult, acceptBatch } from "./accept.ts";
import { ConsumerLease } from "./consumer_lease.ts";
import { ConsumerOffset } from "./consumer_offset.ts";
import { decodeBatch } from "./decode_batch.ts";
import type { IntakeEvents } from "./events.ts";
import { IntentReader, type Reading } from "./intent_reader.ts";
import { type Decoded, intentsWithProblems, judge, type Judgement } from "./judge.ts";
import { Recipients } from "./recipients.ts";
import { refused } from "./refuse.ts";
import { selectFingerprints } from "./select_fingerprints.ts";

/** A dead consumer's lease lives five seconds; another instance takes over within six. */
const STANDBY_POLL_MS = 250;
/** Redis's clock is read again before the acceptance when it was read longer ago than this. */
const MAX_START_AGE_MS = BIRTH_CLAIM_MS / 4;

export interface ConsumerOptions {
  readonly stream: string;
  readonly instanceId: string;
  readonly batchSize: number;
  readonly readBlockTimeoutMs: number;
  readonly catalog: Catalog;
  readonly administratorEmails: ReadonlyMap<string, readonly string[]>;
  readonly maxAttempts: Readonly<Record<Channel, number>>;
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  /** For reads that wait; closed when the loop is told to stop. */
  readonly blockingRedis: RedisConnection;
  readonly userService: UserService;
  readonly relay: Pick<Relay, "room" | "handOver">;
  readonly events: IntakeEvents;
  readonly clock: Clock;
  /** Aborts when waits are cut short. */
  readonly abandon: AbortSignal;
}

export class IntentConsumer implements Loop {
  readonly name = "intent_consumer";
  readonly #options: ConsumerOptions;
  readonly #lease: ConsumerLease;
  readonly #offset: ConsumerOffset;
  readonly #limit: BatchLimit;
  readonly #reader: IntentReader;
  readonly #recipients: Recipients;
  #role: "consuming" | "standby" | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#lease = new ConsumerLease(options);
    this.#offset = new ConsumerOffset(options);
    this.#limit = new BatchLimit(options.batchSize);
    this.#reader = new IntentReader(options, { offset: this.#offset, limit: this.#limit });
    this.#recipients = new Recipients(options.userService);
  }

  async pass(stop: AbortSignal): Promise<"again" | "idle"> {
    this.#lease.keep(stop);
    if (!await this.#mayConsume()) return "idle";
    const reading = await this.#reader.next(stop);
    if (reading === undefined) return "again";
    const { events, clock } = this.#options;
    const startedAt = clock.monotonic();
    const decoded = events.began(await decodeBatch(reading.batch, this.#options));
    try {
      const judgement = await this.#judge(decoded);
      const { covered, stall } = judgement;
      if (covered > 0) {
        const start = await this.#claimStart(reading.batch, stop);
        const result = await this.#accept(decoded.slice(0, covered), { judgement, reading });
        if (result === undefined) return "again";
        this.#handOver(result, start);
        events.outcomes(result);
        events.acceptDuration(clock.monotonic() - startedAt);
      }
      if (stall !== undefined) throw stallOf(stall, covered > 0);
    } catch (error) {
      // The same batch would take too long again.
      if (ranPastItsTime(error)) this.#limit.halve(decoded.length);
      // What is known of the recipients outlives a stall of the User Service, and nothing else.
      if (!(error instanceof OutageError && error.dependency === "user_service")) this.#recipients.release();
      throw error;
    }
    this.#recipients.release();
    if (decoded.length < reading.batch.entries.length) this.#limit.reduceTo(decoded.length);
    else this.#limit.grow();
    return "again";
  }

  /** While another instance consumes. */
  async idle(stop: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(STANDBY_POLL_MS, stop);
  }

  async close(): Promise<void> {
    await this.#offset.copied();
    await this.#lease.release();
    this.#options.userService.close();
  }

  async #mayConsume(): Promise<boolean> {
    const isHeld = this.#lease.isHeld || await this.#lease.take();
    const role = isHeld ? "consuming" : "standby";
    if (role !== this.#role) {
      this.#role = role;
      this.#offset.forget();
      this.#recipients.release();
      loggerOf(this.name).info(role);
    }
    return isHeld;
  }

  async #judge(decoded: readonly Decoded[]): Promise<Judgement> {
    const { postgres, administratorEmails, abandon } = this.#options;
    const intents = decoded.filter((item): item is Intent => item.kind === "intent");
    const answers = await this.#recipients.find(intents, abandon);
    const doubtful = intentsWithProblems(intents, answers);
    const recordedKeys = new Set((await selectFingerprints(postgres, doubtful)).keys());
    return judge(decoded, { answers, recordedKeys, administratorEmails });
  }

  /** Waits for room behind the publishers; then a moment before the acceptance, from which its routes' claims run. */
  async #claimStart({ takenAtMs, takenAt }: ClaimStart, stop: AbortSignal): Promise<ClaimStart> {
    const { clock, redis, relay } = this.#options;
    await relay.room(stop);
    if (clock.monotonic() - takenAt < MAX_START_AGE_MS) return { takenAtMs, takenAt };
    try {
      return { takenAtMs: await redisTimeMs(redis), takenAt: clock.monotonic() };
    } catch {
      // Acceptance does not need Redis; its routes are claimed when they are due.
      return { takenAtMs, takenAt };
    }
  }

  /** Absent where nothing was changed, and the entries are to be read again. */
  async #accept(
    decoded: readonly Decoded[],
    { judgement, reading }: { readonly judgement: Judgement; readonly reading: Reading },
  ): Promise<Done | undefined> {
    const { postgres, stream, batchSize, maxAttempts } = this.#options;
    const { from } = reading;
    const to = this.#offset.behind(from, { entryId: decoded.at(-1)!.entry.id, entries: decoded.length });
    if (decoded.length === batchSize) this.#reader.readAhead(to);
    let result: AcceptanceResult;
    try {
      result = await acceptBatch(postgres, { stream, from, to, judgement, maxAttempts });
    } catch (error) {
      if (postgresFailure(error) !== "data") throw error;
      if (decoded.length > 1) return this.#readAgain(decoded.length / 2);
      const rejected = refused(decoded[0]!, error);
      return await this.#accept([rejected], {
        judgement: { ...judgement, ...ONLY_REJECTED, rejected: [rejected] },
        reading,
      });
    }
    switch (result.kind) {
      case "done":
        this.#offset.moved(to);
        return result;
      case "offset_moved":
        this.#offset.forget();
        return undefined;
      case "try_again":
        if (decoded.length > 1) return this.#readAgain(decoded.length / 2);
        throw new OutageError("postgres", "a record was inserted or deleted while its key was looked at");
      default:
        return result satisfies never;
    }
  }

  #readAgain(maxEntries: number): undefined {
    this.#limit.reduceTo(maxEntries);
  }

  #handOver({ accepted, acceptedAtMs, claimedUntil }: Done, start: ClaimStart): void {
    if (accepted.length === 0) return;
    const { relay, maxAttempts } = this.#options;
    relay.handOver({ ...start, acceptedAtMs, claimedUntil, maxAttempts, intents: accepted });
  }
}

type Done = Extract<AcceptanceResult, { kind: "done" }>;

const ONLY_REJECTED = { candidates: [], followers: [] } as const;

/** The entries before it are committed; nothing moves until the User Service answers for the one that everything waits for. */
function stallOf({ reason, retryAfterMs }: NonNullable<Judgement["stall"]>, progressed: boolean): OutageError {
  // The entries have been read, and every key before the stall has been looked for.
  const answered = ["redis", "intent_stream", "postgres"] as const;
  return new OutageError("user_service", reason, { retryAfterMs, progressed, answered });
}
