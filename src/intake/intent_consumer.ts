/**
 * The first loop: entries of the intent stream become records with routes, which are handed over to the publishers.
 *
 * A pass: read a batch → decode it → judge each entry → accept them, in one transaction that also moves the offset →
 * hand the routes over. The offset moves past an entry only together with the entry's outcome: if the process or a
 * server dies in between, the same entries are read again.
 *
 * Two roles: *consuming* while this instance has the consumer lease, *standby* while another one has it.
 *
 * One limit says how many entries make a batch. It is halved when PostgreSQL fails at a batch or refuses it, until the
 * entry at fault is alone. It is reduced when Redis needs too long for a batch, or when the entries have many
 * recipients. Each batch that is accepted whole doubles it.
 *
 * When a pass fails, its reason and the entry at which it failed are noted in Redis for `status` and the gauges. The
 * next pass then first compares its offset with the table: an operator may have set the entry aside, which moves the
 * offset past it.
 */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { StallNote } from "../backlog/intake_stall.ts";
import { BatchLimit } from "../lifecycle/batch_limit.ts";
import { outageOf } from "../lifecycle/outage.ts";
import type { Loop } from "../lifecycle/run_loop.ts";
import type { Catalog } from "../notification/catalog.ts";
import type { Channel } from "../notification/route.ts";
import type { RedisConnection } from "../redis/connection.ts";
import type { ClaimStart } from "../relay/batch.ts";
import type { Relay } from "../relay/relay.ts";
import { selectOffset } from "../stream_offset/stream_offset.ts";
import { loggerOf } from "../telemetry/logger.ts";
import type { UserService } from "../user_service/client.ts";
import { acceptOrRefuse, type Done } from "./accept_or_refuse.ts";
import { ConsumerLease } from "./consumer_lease.ts";
import type { VersionedOffset } from "./compare_offset.ts";
import { ConsumerOffset } from "./consumer_offset.ts";
import { decodeBatch } from "./decode_batch.ts";
import type { IntakeEvents } from "./events.ts";
import { findKnown, wasReadBefore } from "./find_known.ts";
import { IdsAhead } from "./ids_ahead.ts";
import { IntentReader, type Reading } from "./intent_reader.ts";
import { type Decoded, judge, type Judgement } from "./judge.ts";
import { recentStart } from "./recent_start.ts";
import { Recipients } from "./recipients.ts";
import { SetAside } from "./set_aside.ts";
import { aboutEntry, outageAt } from "./stall.ts";

/** A dead consumer's lease lives five seconds; another instance takes over within six. */
const STANDBY_POLL_MS = 250;

export interface ConsumerOptions {
  readonly stream: string;
  readonly processId: string;
  readonly batchSize: number;
  /** How long records are kept. */
  readonly recordRetentionMs: number;
  /** How long malformed intents are kept. */
  readonly malformedRetentionMs: number;
  readonly readBlockTimeoutMs: number;
  readonly catalog: Catalog;
  readonly administratorEmails: ReadonlyMap<string, readonly string[]>;
  readonly maxAttempts: Readonly<Record<Channel, number>>;
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
  /** For reads that wait for an entry; closed when the loop is to stop. */
  readonly blockingRedis: RedisConnection;
  readonly userService: UserService;
  readonly relay: Pick<Relay, "room" | "handOver">;
  readonly events: IntakeEvents;
  readonly clock: Clock;
  /** Aborts when a shutdown no longer waits for the current batch. */
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
  readonly #setAside: SetAside;
  readonly #note: StallNote;
  readonly #idsAhead: IdsAhead;
  #hasFailed = false;
  #role: "consuming" | "standby" | undefined;

  constructor(options: ConsumerOptions) {
    this.#options = options;
    this.#lease = new ConsumerLease(options);
    this.#offset = new ConsumerOffset(options);
    this.#limit = new BatchLimit(options.batchSize);
    this.#reader = new IntentReader(options, { offset: this.#offset, limit: this.#limit });
    this.#recipients = new Recipients(options.userService);
    this.#setAside = new SetAside(options);
    this.#note = new StallNote(options);
    this.#idsAhead = new IdsAhead(options.events);
  }

  async pass(stop: AbortSignal): Promise<"again" | "idle"> {
    this.#lease.keep(stop);
    try {
      if (!await this.#mayConsume()) return "idle";
      if (this.#hasFailed) await this.#compareOffset();
      const reading = await this.#reader.next(stop);
      if (reading !== undefined) await this.#consume(reading, stop);
      this.#note.clear();
      return "again";
    } catch (error) {
      this.#hasFailed = true;
      this.#noteStall(error);
      throw error;
    }
  }

  /** While another instance consumes. */
  async idle(stop: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(STANDBY_POLL_MS, stop);
  }

  async close(): Promise<void> {
    await Promise.all([this.#offset.copied(), this.#note.sent()]);
    await this.#lease.release();
    this.#options.userService.close();
  }

  /**
   * Call this when PostgreSQL may have come back with an earlier offset: the offset is found again, at the latest when
   * the wait for entries ends.
   */
  findOffsetAgain(): void {
    this.#offset.forget();
  }

  async #mayConsume(): Promise<boolean> {
    const isHeld = this.#lease.isHeld || await this.#lease.take();
    const role = isHeld ? "consuming" : "standby";
    if (role !== this.#role) {
      this.#role = role;
      this.#offset.forget();
      this.#recipients.release();
      this.#setAside.forget();
      this.#note.forget();
      loggerOf(this.name).info(role);
    }
    return isHeld;
  }

  /** Forgets the offset if it was moved: an operator may have set aside the entry at which the last pass failed. */
  async #compareOffset(): Promise<void> {
    const { postgres, stream } = this.#options;
    const row = await selectOffset(postgres, stream);
    if (row !== undefined && row.entryId !== (await this.#offset.current()).entryId) this.#offset.forget();
    this.#hasFailed = false;
  }

  async #consume({ batch, from }: Reading, stop: AbortSignal): Promise<void> {
    const { events, clock, relay } = this.#options;
    const startedAt = clock.monotonic();
    this.#idsAhead.check(batch);
    const decoded = this.#setAside.apply(events.withSpans(await decodeBatch(batch, this.#options)));
    try {
      const judgement = await this.#judge(decoded, from);
      if (judgement.covered > 0) {
        await relay.room(stop);
        const start = await recentStart(batch, this.#options);
        const result = await this.#accept(decoded.slice(0, judgement.covered), judgement, from);
        if (result === undefined) return;
        this.#handOver(result, start);
        events.outcomes(withoutReadBefore(result, from));
        events.acceptDuration(clock.monotonic() - startedAt);
      }
      if (judgement.stall !== undefined) {
        if (await this.#setAside.hasMore(decoded)) return;
        throw outageAt(judgement.stall, { progressed: judgement.covered > 0 });
      }
    } catch (error) {
      throw this.#failed(error, decoded);
    }
    this.#recipients.release();
    this.#setAside.forget();
    if (decoded.length < batch.entries.length) this.#limit.reduceTo(decoded.length);
    else this.#limit.grow();
  }

  async #judge(decoded: readonly Decoded[], { readBefore }: VersionedOffset): Promise<Judgement> {
    const known = await findKnown(decoded, { ...this.#options, recipients: this.#recipients, readBefore });
    return judge(decoded, { ...known, administratorEmails: this.#options.administratorEmails });
  }

  /** Returns `undefined` if nothing was changed and the entries have to be read again. */
  async #accept(entries: readonly Decoded[], judgement: Judgement, from: VersionedOffset): Promise<Done | undefined> {
    const { postgres, stream, batchSize, maxAttempts } = this.#options;
    const to = this.#offset.after(from, { entryId: entries.at(-1)!.entry.id, entries: entries.length });
    if (entries.length === batchSize) this.#reader.readAhead(to);
    const result = await acceptOrRefuse(postgres, { stream, from, to, judgement, maxAttempts }, entries);
    switch (result.kind) {
      case "done":
        this.#offset.moved(to);
        return result;
      case "offset_moved":
        this.#offset.forget();
        return undefined;
      case "too_many":
        this.#limit.halve(entries.length);
        return undefined;
      default:
        return result satisfies never;
    }
  }

  #handOver({ accepted, acceptedAtMs, claimedUntil }: Done, start: ClaimStart): void {
    if (accepted.length === 0) return;
    const { relay, maxAttempts } = this.#options;
    relay.handOver({ ...start, acceptedAtMs, claimedUntil, maxAttempts, intents: accepted });
  }

  /** Prepares the next pass for what has failed; returns the error to throw. */
  #failed(error: unknown, decoded: readonly Decoded[]): unknown {
    const outage = outageOf(error);
    // The answers about recipients are kept only while the User Service stalls.
    if (outage?.dependency !== "user_service") this.#recipients.release();
    if (outage?.dependency !== "postgres") return error;
    // The batch may be too large, or PostgreSQL may fail at one of its entries: halving finds that entry in the end.
    this.#limit.halve(decoded.length);
    return decoded.length === 1 ? aboutEntry(outage, decoded[0]!.entry.id) : error;
  }

  #noteStall(error: unknown): void {
    const outage = outageOf(error);
    // Without Redis there is nowhere to note it.
    if (outage === undefined || outage.dependency === "redis") return;
    const { dependency, message, about } = outage;
    this.#note.write({ dependency, reason: message, entryId: about.stream_entry_id, recipient: about.recipient });
  }
}

/** An entry that was read before is a duplicate of itself; its outcome has been reported already. */
function withoutReadBefore(result: Done, { readBefore }: VersionedOffset): Done {
  return { ...result, duplicates: result.duplicates.filter(({ entry }) => !wasReadBefore(entry, readBefore)) };
}
