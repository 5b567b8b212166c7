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
import type { Channel } from "../notification/route.ts";
import { ranPastItsTime } from "../postgres/failures.ts";
import type { RedisConnection } from "../redis/connection.ts";
import type { ClaimStart } from "../relay/batch.ts";
import type { Relay } from "../relay/relay.ts";
import { loggerOf } from "../telemetry/logging.ts";
import type { UserService } from "../user_service/client.ts";
import { acceptEntries, type Done } from "./accept_entries.ts";
import { ConsumerLease } from "./consumer_lease.ts";
import { ConsumerOffset, type VersionedOffset } from "./consumer_offset.ts";
import { decodeBatch } from "./decode_batch.ts";
import type { IntakeEvents } from "./events.ts";
import { findKnown } from "./find_known.ts";
import { IntentReader } from "./intent_reader.ts";
import { type Decoded, judge, type Judgement } from "./judge.ts";
import { recentStart } from "./recent_start.ts";
import { Recipients } from "./recipients.ts";

/** A dead consumer's lease lives five seconds; another instance takes over within six. */
const STANDBY_POLL_MS = 250;

export interface ConsumerOptions {
  readonly stream: string;
  readonly processId: string;
  readonly batchSize: number;
  /** How long records are kept. */
  readonly recordRetentionMs: number;
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
    const { events, clock, relay, administratorEmails } = this.#options;
    const startedAt = clock.monotonic();
    const decoded = events.began(await decodeBatch(reading.batch, this.#options));
    try {
      const known = await findKnown(decoded, { ...this.#options, recipients: this.#recipients });
      const judgement = judge(decoded, { ...known, administratorEmails });
      const { covered, stall } = judgement;
      if (covered > 0) {
        await relay.room(stop);
        const start = await recentStart(reading.batch, this.#options);
        const result = await this.#accept(decoded.slice(0, covered), judgement, reading.from);
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

  /** Absent where nothing was changed, and the entries are to be read again. */
  async #accept(entries: readonly Decoded[], judgement: Judgement, from: VersionedOffset): Promise<Done | undefined> {
    const { postgres, stream, batchSize, maxAttempts } = this.#options;
    const to = this.#offset.behind(from, { entryId: entries.at(-1)!.entry.id, entries: entries.length });
    if (entries.length === batchSize) this.#reader.readAhead(to);
    const result = await acceptEntries(postgres, { stream, from, to, judgement, maxAttempts }, entries);
    switch (result.kind) {
      case "done":
        this.#offset.moved(to);
        return result;
      case "offset_moved":
        this.#offset.forget();
        return undefined;
      case "read_fewer":
        this.#limit.reduceTo(result.maxEntries);
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
}

/** The entries before it are committed; nothing moves until the User Service answers for the one that everything waits for. */
function stallOf({ reason, retryAfterMs }: NonNullable<Judgement["stall"]>, progressed: boolean): OutageError {
  // The entries have been read, and every key before the stall has been looked for.
  const answered = ["redis", "intent_stream", "postgres"] as const;
  return new OutageError("user_service", reason, { retryAfterMs, progressed, answered });
}
