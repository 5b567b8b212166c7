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
import type { Channel } from "../notification/route.ts";
import type { StreamEntry } from "../notification/stream_entry.ts";
import { describePostgresError, postgresFailure } from "../postgres/failures.ts";
import type { RedisConnection } from "../redis/connection.ts";
import type { Events, IntentFields } from "../telemetry/events.ts";
import { loggerOf } from "../telemetry/logging.ts";
import { knownTraceId } from "../telemetry/trace_context.ts";
import type { UserService } from "../user_service/client.ts";
import { type AcceptanceResult, acceptBatch, selectFingerprints } from "./accept.ts";
import { ConsumerLease } from "./consumer_lease.ts";
import { BEFORE_ALL } from "./entry_ids.ts";
import { readExactEntry } from "./exact_entry.ts";
import { type Decoded, intentsWithProblems, judge, type Judgement } from "./judge.ts";
import { standingOf } from "./ordinals.ts";
import { type ReadBatch, readBatch, type ReadEntry, waitForEntry } from "./read_batch.ts";
import { Recipients } from "./recipients.ts";
import { copyPlace, findPlace, movePlace, type Place, replaceCopy } from "./stream_offset.ts";

/** Recipients in one batch, unless a single entry has more. */
const MAX_BATCH_RECIPIENTS = 10_000;
const STANDBY_POLL_MS = 1000;
/** Times that a single intent whose key is neither free nor taken is tried before it counts as malformed. */
const MAX_TRIES = 5;

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
  /** For the blocking read alone; closed when the loop is told to stop. */
  readonly blockingRedis: RedisConnection;
  readonly userService: UserService;
  readonly events: Events;
  readonly clock: Clock;
  /** Aborts when waits are cut short. */
  readonly abandon: AbortSignal;
  /** Called after each commit that made routes. */
  readonly onAccepted: () => void;
}

export class IntentConsumer implements Loop {
  readonly name = "intent_consumer";
  readonly #options: ConsumerOptions;
  readonly #lease: ConsumerLease;
  readonly #recipients: Recipients;
  readonly #logger = loggerOf("intent_consumer");
  #role: "consuming" | "standby" | undefined;
  /** Where reading goes on; unknown at the start, at a takeover and after a reconnection. */
  #place: Place | undefined;
  #reportedCopy: string | undefined;
  /** Fewer than a full batch while entries have many recipients. */
  #maxEntries: number;
  #expectedEntryBytes = 64 * 1024;
  #copying: Promise<void> = Promise.resolve();
  #keepingLease: Promise<void> | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#lease = new ConsumerLease(options);
    this.#recipients = new Recipients(options.userService);
    this.#maxEntries = options.batchSize;
    options.redis.onReady(() => this.#place = undefined);
  }

  async pass(stop: AbortSignal): Promise<"again" | "idle"> {
    this.#keepingLease ??= this.#lease.keep(stop);
    if (!await this.#mayConsume()) return "idle";

    const place = this.#place ??= await this.#findPlace();
    const batch = await this.#read(place);
    const from = batch.state === undefined ? place : await this.#checkStanding(place, batch);
    if (from === undefined) return "again";
    if (batch.entries.length === 0) {
      await this.#waitForEntry(place, stop);
      return "again";
    }

    const startedAt = performance.now();
    const { events, stream } = this.#options;
    const decoded = events.intentsBegan(this.#boundRecipients(await this.#decode(batch.entries)), stream);
    const progressed = await this.#process(decoded, from);
    this.#recipients.release();
    if (progressed) events.acceptDuration(performance.now() - startedAt);
    return "again";
  }

  /** While another instance consumes. */
  async idle(stop: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(STANDBY_POLL_MS, stop);
  }

  async close(): Promise<void> {
    await this.#keepingLease;
    await this.#copying;
    // Another instance takes over at once; if Redis can't be told, in five seconds.
    await this.#lease.release().catch(() => {});
  }

  async #mayConsume(): Promise<boolean> {
    const held = this.#lease.isHeld || await this.#lease.take();
    const role = held ? "consuming" : "standby";
    if (role !== this.#role) {
      this.#role = role;
      this.#place = undefined;
      this.#recipients.release();
      this.#logger.info(role);
    }
    return held;
  }

  async #findPlace(): Promise<Place> {
    const { place, copyAhead } = await findPlace(this.#options);
    if (copyAhead !== undefined && copyAhead !== this.#reportedCopy) {
      this.#reportedCopy = copyAhead;
      this.#logger.warn("PostgreSQL lost commits: its place is behind the copy in Redis, entries are read again", {
        place: place.entryId,
        copy: copyAhead,
      });
    }
    return place;
  }

  async #read(place: Place): Promise<ReadBatch> {
    const batch = await readBatch(this.#options.redis, {
      stream: this.#options.stream,
      place: place.entryId,
      maxEntries: this.#maxEntries,
      expectedEntryBytes: this.#expectedEntryBytes,
    });
    if (batch.entries.length > 0) this.#expectedEntryBytes = Math.max(1, batch.bytes / batch.entries.length);
    return batch;
  }

  /** The place with its ordinal; nothing if reading has to start anew. */
  async #checkStanding(place: Place, batch: ReadBatch): Promise<Place | undefined> {
    const { stream, events } = this.#options;
    const standing = standingOf(place, batch.state!);
    if (standing.kind === "another_stream") {
      this.#logger.error("another stream has the old name: it is read from its beginning", {
        stream,
        place: place.entryId,
        last_generated_id: batch.state!.lastGeneratedId,
      });
      await this.#startAnew(place);
      return undefined;
    }
    const from: Place = { entryId: place.entryId, entriesRead: standing.entriesRead };
    if (standing.trimmedUnread > 0) {
      events.trimmedUnread(standing.trimmedUnread, stream);
      // So that a pass that fails from here on does not find it again; and the same after a restart.
      this.#place = from;
      await this.#commitPlace(place, from);
    }
    return from;
  }

  async #startAnew(place: Place): Promise<void> {
    const { redis, stream } = this.#options;
    const beginning: Place = { entryId: BEFORE_ALL, entriesRead: 0 };
    this.#place = undefined;
    if (!await this.#commitPlace(place, beginning)) return;
    await replaceCopy(redis, stream, beginning);
    // Its ordinals are not known: what is gone from it now is the baseline.
    this.#place = { entryId: BEFORE_ALL, entriesRead: undefined };
  }

  async #commitPlace(from: Place, to: Place): Promise<boolean> {
    const { postgres, stream } = this.#options;
    const moved = await movePlace(postgres, { stream, from, to });
    if (!moved) this.#place = undefined;
    return moved;
  }

  async #waitForEntry({ entryId }: Place, stop: AbortSignal): Promise<void> {
    const { blockingRedis, stream, readBlockTimeoutMs } = this.#options;
    if (stop.aborted) return;
    const cut = () => blockingRedis.close();
    stop.addEventListener("abort", cut);
    try {
      await waitForEntry(blockingRedis, { stream, place: entryId, blockMs: readBlockTimeoutMs });
    } catch (error) {
      if (!stop.aborted) throw error;
    } finally {
      stop.removeEventListener("abort", cut);
    }
  }

  /** An entry that is gone before its bytes could be fetched ends the batch: it counts as trimmed at the next read. */
  async #decode(entries: readonly ReadEntry[]): Promise<Decoded[]> {
    const { catalog, redis, stream } = this.#options;
    const decoded: Decoded[] = [];
    for (const { id, fields } of entries) {
      let entry: StreamEntry | undefined;
      if (fields !== undefined && !fields.some((value) => value.includes("\ufffd"))) entry = { id, fields };
      else entry = await readExactEntry(redis, { stream, id });
      if (entry === undefined) break;
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
  async #process(decoded: readonly Decoded[], from: Place): Promise<boolean> {
    if (decoded.length === 0) return false;
    const judgement = await this.#judge(decoded);
    const progressed = judgement.covered > 0 &&
      await this.#accept(decoded.slice(0, judgement.covered), { from, judgement });
    if (judgement.stall !== undefined && (progressed || judgement.covered === 0)) {
      const { reason, retryAfterMs } = judgement.stall;
      throw new OutageError("user_service", reason, { retryAfterMs, progressed });
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
    { from, judgement, tries = 1 }: { from: Place; judgement: Judgement; tries?: number },
  ): Promise<boolean> {
    const { postgres, stream, maxAttempts } = this.#options;
    const to: Place = {
      entryId: decoded.at(-1)!.entry.id,
      entriesRead: (from.entriesRead ?? 0) + decoded.length,
    };
    let result: AcceptanceResult;
    try {
      result = await acceptBatch(postgres, { stream, from, to, judgement, maxAttempts });
    } catch (error) {
      if (postgresFailure(error) !== "data") throw error;
      const reason = describePostgresError(error);
      return await this.#acceptHalves(decoded, from, (item) => refused(item, reason));
    }
    switch (result.kind) {
      case "done":
        this.#tell(result);
        this.#moved(to);
        return true;
      case "place_moved":
        this.#place = undefined;
        return false;
      case "try_again":
        if (decoded.length === 1 && tries < MAX_TRIES) {
          return await this.#accept(decoded, { from, judgement, tries: tries + 1 });
        }
        return await this.#acceptHalves(decoded, from, (item) => refused(item, "its key is neither free nor taken"));
      default:
        return result satisfies never;
    }
  }

  async #acceptHalves(
    decoded: readonly Decoded[],
    from: Place,
    refusal: (item: Decoded) => Malformed,
  ): Promise<boolean> {
    if (decoded.length === 1) return await this.#process([refusal(decoded[0]!)], from);
    const half = Math.ceil(decoded.length / 2);
    if (!await this.#process(decoded.slice(0, half), from)) return false;
    const middle: Place = { entryId: decoded[half - 1]!.entry.id, entriesRead: (from.entriesRead ?? 0) + half };
    return await this.#process(decoded.slice(half), middle);
  }

  #moved(place: Place): void {
    const { redis, stream } = this.#options;
    // A reconnection during the pass has unset it: it is read anew then.
    if (this.#place !== undefined) this.#place = place;
    // The copy is for others to see. If it can't be made now, the next batch's will do.
    this.#copying = copyPlace(redis, stream, place).catch(() => {});
  }

  #tell(result: Extract<AcceptanceResult, { kind: "done" }>): void {
    const { events, catalog, onAccepted } = this.#options;
    if (result.accepted.length > 0) onAccepted();
    events.accepted(result.accepted.map(({ intent }) => intentFields(intent)));
    events.duplicate(result.duplicates.map(intentFields));
    events.malformed(result.malformed.map((item) => ({
      fields: malformedFields(item),
      type: catalog.has(item.notificationType) ? item.notificationType : "unknown",
      code: item.code,
      reason: item.message,
    })));
    const skipped = result.accepted.flatMap(({ routes }) => routes.filter((route) => route.skipped !== undefined));
    events.skipped(skipped.map(({ channel, skipped }) => ({ channel, classification: skipped! })));
  }
}

/** PostgreSQL won't have the entry as it is: it becomes malformed, or if it was that, one without its fields. */
function refused(item: Decoded, reason: string): Malformed {
  const message = `PostgreSQL refused it: ${reason}`;
  if (item.kind === "intent") return malformedIntent(item, "invalid_fields", message);
  if (item.message === message) throw new Error(`Entry ${item.entry.id} can't be recorded: ${reason}`);
  return {
    ...item,
    message,
    notificationType: "",
    producer: "",
    idempotencyKey: "",
    entry: { id: item.entry.id, fields: [] },
  };
}

function intentFields(intent: Intent): IntentFields {
  return {
    notification_type: intent.type.name,
    producer: intent.producer,
    audience_kind: intent.audienceKind,
    notification_id: intent.notificationId,
    stream_entry_id: intent.entry.id,
    ...correlation(intent),
  };
}

function malformedFields(item: Malformed): IntentFields {
  return {
    notification_type: item.notificationType.slice(0, 256),
    producer: item.producer.slice(0, 256),
    audience_kind: item.audienceKind.slice(0, 256),
    stream_entry_id: item.entry.id,
    ...correlation(item),
  };
}

function correlation({ requestId, traceId, traceparent }: { requestId: string; traceId: string; traceparent: string }) {
  const trace = knownTraceId({ traceId, traceparent });
  return {
    ...(requestId === "" ? {} : { request_id: requestId.slice(0, 256) }),
    ...(trace === "" ? {} : { trace_id: trace.slice(0, 256) }),
  };
}
