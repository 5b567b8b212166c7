/**
 * The first loop: entries of the intent stream become records with routes.
 *
 * A pass reads a batch, decodes it, finds the recipients, and gives every entry its one outcome in one transaction that
 * also moves the place. Nothing moves that has no outcome; whatever dies in between, the same entries are read again.
 */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { OutageError } from "../lifecycle/outage.ts";
import type { Loop } from "../lifecycle/run_loop.ts";
import type { Catalog } from "../notification/catalog.ts";
import { decode } from "../notification/decode.ts";
import { type Intent, type Malformed, malformedIntent } from "../notification/intent.ts";
import { type Accepted, FRESH_MS, type Freshness } from "../notification/fresh_routes.ts";
import type { Channel } from "../notification/route.ts";
import type { StreamEntry } from "../notification/stream_entry.ts";
import { describePostgresError, postgresFailure, ranPastItsTime } from "../postgres/failures.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { RedisError } from "../redis/failures.ts";
import { redisTimeMs } from "../redis/time.ts";
import type { Events } from "../telemetry/events.ts";
import { loggerOf } from "../telemetry/logging.ts";
import type { UserService } from "../user_service/client.ts";
import { type AcceptanceResult, acceptBatch, selectFingerprints } from "./accept.ts";
import { BatchReader } from "./batch_reader.ts";
import { ConsumerLease } from "./consumer_lease.ts";
import { ConsumerPlace } from "./consumer_place.ts";
import { readExactEntry } from "./exact_entry.ts";
import { type Decoded, intentsWithProblems, judge, type Judgement } from "./judge.ts";
import { MAX_BATCH_BYTES, type ReadBatch } from "./read_batch.ts";
import { Recipients } from "./recipients.ts";
import type { Place } from "../stream_offset/stream_offset.ts";
import { tellOutcomes } from "./tell.ts";

/** Recipients in one batch, unless a single entry has more. */
const MAX_BATCH_RECIPIENTS = 10_000;
/** A dead consumer's lease lives five seconds; another instance takes over within six. */
const STANDBY_POLL_MS = 250;
/** Of the time for which routes are fresh, what may be over when they are accepted. */
const RENEWED_AFTER_MS = 500;

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
  readonly events: Events;
  readonly clock: Clock;
  /** Aborts when waits are cut short. */
  readonly abandon: AbortSignal;
  /** Called after each commit that made records. */
  readonly onAccepted: (accepted: Accepted) => void;
}

export class IntentConsumer implements Loop {
  readonly name = "intent_consumer";
  readonly #options: ConsumerOptions;
  readonly #lease: ConsumerLease;
  readonly #place: ConsumerPlace;
  readonly #reader: BatchReader;
  readonly #recipients: Recipients;
  readonly #logger = loggerOf("intent_consumer");
  #role: "consuming" | "standby" | undefined;
  /** Fewer than a full batch while one has too many recipients, or takes PostgreSQL too long. */
  #maxEntries: number;
  /** While one entry alone takes Redis too long, what was trimmed is left to a later read to find. */
  #isStateTooDear = false;
  /** Behind this entry there was none when the last batch was read: no need to look before the next wait. */
  #endOfStream: string | undefined;
  #keepingLease: Promise<void> | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#lease = new ConsumerLease(options);
    this.#place = new ConsumerPlace(options);
    this.#reader = new BatchReader(options);
    this.#recipients = new Recipients(options.userService);
    this.#maxEntries = options.batchSize;
    for (const redis of [options.redis, options.blockingRedis]) {
      redis.onReady(() => {
        this.#place.forget();
        this.#endOfStream = undefined;
      });
    }
  }

  async pass(stop: AbortSignal): Promise<"again" | "idle"> {
    this.#keepingLease ??= this.#lease.keep(stop);
    if (!await this.#mayConsume()) return "idle";

    const { stream, events } = this.#options;
    const place = await this.#place.current();
    const isAtEnd = place.entryId === this.#endOfStream;
    // Once only: should the wait fail, because what comes takes Redis too long, fewer entries are read at a time.
    this.#endOfStream = undefined;
    if (isAtEnd) {
      await this.#reader.wait(place, { maxEntries: this.#maxEntries, stop });
      if (stop.aborted || await this.#place.current() !== place) return "again";
    }
    const batch = await this.#read(place);
    const { state, entries, freshness } = batch;
    const from = state === undefined ? place : await this.#place.heldAgainst(place, state);
    if (from === undefined) return "again";
    if (entries.length === 0) {
      if (!isAtEnd) await this.#reader.wait(place, { maxEntries: this.#maxEntries, stop });
      return "again";
    }
    this.#endOfStream = state?.lastGeneratedId;

    const startedAt = performance.now();
    const decoded = events.intentsBegan(this.#boundRecipients(await this.#decode(batch)), stream);
    try {
      if (await this.#process(decoded, { from, freshness })) events.acceptDuration(performance.now() - startedAt);
    } catch (error) {
      // The same batch would take too long again.
      if (ranPastItsTime(error)) this.#maxEntries = Math.ceil(decoded.length / 2);
      // What is known of the recipients outlives a stall of the User Service, and nothing else.
      if (!(error instanceof OutageError && error.dependency === "user_service")) this.#recipients.release();
      throw error;
    }
    this.#recipients.release();
    return "again";
  }

  /** While another instance consumes. */
  async idle(stop: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(STANDBY_POLL_MS, stop);
  }

  async close(): Promise<void> {
    await this.#keepingLease;
    await this.#place.copied();
    // Another instance takes over at once; if Redis can't be told, in five seconds.
    await this.#lease.release().catch(() => {});
    this.#options.userService.close();
  }

  async #mayConsume(): Promise<boolean> {
    const held = this.#lease.isHeld || await this.#lease.take();
    const role = held ? "consuming" : "standby";
    if (role !== this.#role) {
      this.#role = role;
      this.#place.forget();
      this.#recipients.release();
      this.#logger.info(role);
    }
    return held;
  }

  async #read(place: Place): Promise<ReadBatch> {
    try {
      const batch = await this.#reader.read(place, {
        maxEntries: this.#maxEntries,
        withoutState: this.#isStateTooDear,
      });
      this.#isStateTooDear = false;
      return batch;
    } catch (error) {
      // So many entries may take Redis longer than a command may; then one, and one without more.
      if (error instanceof RedisError && error.code === "") {
        this.#isStateTooDear ||= this.#maxEntries === 1;
        this.#maxEntries = Math.ceil(this.#maxEntries / 32);
      }
      throw error;
    }
  }

  /** An entry that is gone before its bytes could be fetched ends the batch: it counts as trimmed at the next read. */
  async #decode({ entries, isDoubtful }: ReadBatch): Promise<Decoded[]> {
    const { catalog, redis, stream } = this.#options;
    const decoded: Decoded[] = [];
    let exactBytes = 0;
    for (const { id, fields } of entries) {
      let entry: StreamEntry | undefined;
      if (fields !== undefined && !(isDoubtful && fields.some((value) => value.includes("\ufffd")))) {
        entry = { id, fields };
      } else {
        entry = await readExactEntry(redis, { stream, id });
        exactBytes += keptBytes(entry);
      }
      if (entry === undefined || (exactBytes > MAX_BATCH_BYTES && decoded.length > 0)) break;
      decoded.push(decode(entry, catalog));
    }
    return decoded;
  }

  /** As many entries from the first as have 10,000 recipients; the next read then takes no more than that. */
  #boundRecipients(decoded: Decoded[]): Decoded[] {
    let recipients = 0;
    for (const [index, item] of decoded.entries()) {
      recipients += item.kind === "intent" ? item.recipientUserIds.length : 0;
      if (recipients > MAX_BATCH_RECIPIENTS && index > 0) {
        this.#maxEntries = index;
        return decoded.slice(0, index);
      }
    }
    this.#maxEntries = Math.min(this.#options.batchSize, this.#maxEntries * 2);
    return decoded;
  }

  /** Gives the entries their outcomes, the first ones first; whether any got one. */
  async #process(decoded: readonly Decoded[], reading: Reading): Promise<boolean> {
    if (decoded.length === 0) return false;
    const judgement = await this.#judge(decoded);
    const { covered, stall } = judgement;
    const progressed = covered > 0 && await this.#accept(decoded.slice(0, covered), { ...reading, judgement });
    if (stall !== undefined && (progressed || covered === 0)) {
      // The entries have been read, and no stall is one before its key has been looked for.
      const answered = ["redis", "intent_stream", "postgres"] as const;
      throw new OutageError("user_service", stall.reason, { retryAfterMs: stall.retryAfterMs, progressed, answered });
    }
    return progressed;
  }

  async #judge(decoded: readonly Decoded[]): Promise<Judgement> {
    const { postgres, administratorEmails, abandon } = this.#options;
    const intents = decoded.filter((item): item is Intent => item.kind === "intent");
    const answers = await this.#recipients.find(intents, abandon);
    const doubtful = intentsWithProblems(intents, answers);
    const recordedKeys = new Set((await selectFingerprints(postgres, doubtful)).keys());
    return judge(decoded, { answers, recordedKeys, administratorEmails });
  }

  /** Whether the place moved past the entries; a batch that PostgreSQL refuses for its data is halved. */
  async #accept(
    decoded: readonly Decoded[],
    { judgement, ...reading }: Reading & { judgement: Judgement },
  ): Promise<boolean> {
    const { postgres, stream, batchSize, maxAttempts, onAccepted } = this.#options;
    const { from } = reading;
    const to = placeBehind(decoded, from);
    if (decoded.length === batchSize) this.#reader.readAhead(to, this.#maxEntries);
    const freshness = await this.#renewed(reading.freshness);
    let result: AcceptanceResult;
    try {
      result = await acceptBatch(postgres, { stream, from, to, judgement, maxAttempts });
    } catch (error) {
      if (postgresFailure(error) !== "data") throw error;
      if (decoded.length > 1) return await this.#processHalves(decoded, reading);
      return await this.#process([refused(decoded[0]!, error)], reading);
    }
    switch (result.kind) {
      case "done":
        this.#place.moved(to);
        if (result.accepted.length > 0) {
          onAccepted({ ...freshness, acceptedAtMs: result.acceptedAtMs, maxAttempts, intents: result.accepted });
        }
        tellOutcomes(result, this.#options);
        return true;
      case "place_moved":
        this.#place.forget();
        return false;
      case "try_again":
        // Judged anew: the record that made it a duplicate is gone, so that now its recipients count.
        if (decoded.length > 1) return await this.#processHalves(decoded, reading);
        throw new OutageError("postgres", "a record was deleted while its key was looked at");
      default:
        return result satisfies never;
    }
  }

  /** After slow look-ups: all that counts is that Redis's time is one before the acceptance begins. */
  async #renewed(freshness: Freshness): Promise<Freshness> {
    const { clock, redis } = this.#options;
    const freshUntil = clock.monotonic() + FRESH_MS;
    if (freshUntil - freshness.freshUntil < RENEWED_AFTER_MS) return freshness;
    try {
      return { freshFromMs: await redisTimeMs(redis), freshUntil };
    } catch {
      // Acceptance does not need Redis; its routes will have to be claimed.
      return freshness;
    }
  }

  async #processHalves(decoded: readonly Decoded[], reading: Reading): Promise<boolean> {
    const half = decoded.slice(0, Math.ceil(decoded.length / 2));
    if (!await this.#process(half, reading)) return false;
    return await this.#process(decoded.slice(half.length), { ...reading, from: placeBehind(half, reading.from) });
  }
}

/** Where a batch was read from, and for how long it is fresh. */
interface Reading {
  readonly from: Place;
  readonly freshness: Freshness;
}

function placeBehind(decoded: readonly Decoded[], from: Place): Place {
  return { entryId: decoded.at(-1)!.entry.id, entriesRead: (from.entriesRead ?? 0) + decoded.length };
}

/** PostgreSQL won't have the entry as it is: it becomes malformed, or if it was that, one without its fields. */
function refused(item: Decoded, error: unknown): Malformed {
  const reason = describePostgresError(error);
  if (item.kind === "intent") return malformedIntent(item, "invalid_fields", `PostgreSQL refused it: ${reason}`);
  // Nothing can be left out any more: a constraint on the table, which an operator has to mend.
  if (item.entry.fields.length === 0) throw new OutageError("postgres", `entry ${item.entry.id}: ${reason}`);
  const message = `${item.message}; PostgreSQL refused its fields: ${reason}`;
  const entry = { id: item.entry.id, fields: [] };
  return { ...item, message, notificationType: "", producer: "", idempotencyKey: "", entry };
}

function keptBytes(entry: StreamEntry | undefined): number {
  return entry?.fields.reduce(
    (sum, value) => sum + (typeof value === "object" && "head" in value ? value.head : value).length,
    0,
  ) ?? 0;
}
