/**
 * The third loop: deletes rows past their retention time, in bounded batches, every `CLEANUP_INTERVAL`.
 *
 * A failure never reaches the other loops: a run that can't continue is reported in one line, what it has deleted is
 * counted, and the next run begins at its time. If PostgreSQL refuses to delete a record, for example because another
 * table refers to it, the run passes over it; a run passes over only a few.
 */
// @ts-types="@types/pg"
import pg from "pg";
import type { Clock } from "../clock.ts";
import { BatchLimit } from "../lifecycle/batch_limit.ts";
import { describeDefect, type Loop } from "../lifecycle/run_loop.ts";
import { describePostgresError, postgresFailure, ranPastItsTime } from "../postgres/failures.ts";
import { loggerOf } from "../telemetry/logger.ts";
import type { RetentionEvents } from "./events.ts";
import { BEFORE_ALL_RECORDS, nextRecord, purgeMalformed, purgeRecords, type RecordCursor } from "./purge.ts";

/** Deleting this many records with their routes takes some tens of milliseconds. */
const MAX_BATCH = 1000;
/**
 * If PostgreSQL refuses more records than this in one run, it probably refuses all of them: the rest is left to the
 * next run.
 */
const MAX_PASSED_OVER = 20;

export interface CleanerOptions {
  readonly recordRetentionMs: number;
  readonly malformedRetentionMs: number;
  readonly intervalMs: number;
  readonly postgres: pg.Pool;
  readonly events: RetentionEvents;
  readonly clock: Clock;
}

/** The state of a run. */
interface Run {
  /**
   * The last record that the run looked at; `undefined` when none is left, or when the rest is left to the next run.
   */
  after: RecordCursor | undefined;
  hasMalformed: boolean;
  readonly deleted: Record<string, number>;
  readonly passedOver: string[];
  readonly reasons: Set<string>;
}

export class RetentionCleaner implements Loop {
  readonly name = "retention_cleaner";
  readonly #options: CleanerOptions;
  readonly #logger = loggerOf(this.name);
  /** `undefined` between two runs. */
  #run: Run | undefined;
  /** Reduced while a batch takes PostgreSQL too long (each record may have thousands of routes) or is refused. */
  readonly #maxRecords = new BatchLimit(MAX_BATCH);
  readonly #maxMalformed = new BatchLimit(MAX_BATCH);

  constructor(options: CleanerOptions) {
    this.#options = options;
  }

  /** Never rejects. */
  async pass(): Promise<"again" | "idle"> {
    const run = this.#run ??= {
      after: BEFORE_ALL_RECORDS,
      hasMalformed: true,
      deleted: {},
      passedOver: [],
      reasons: new Set(),
    };
    if (run.after !== undefined) run.after = await this.#purgeRecords(run, run.after);
    if (run.hasMalformed) run.hasMalformed = await this.#purgeMalformed(run);
    if (run.after !== undefined || run.hasMalformed) return "again";
    this.#end(run);
    return "idle";
  }

  async idle(stop: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(this.#options.intervalMs, stop);
  }

  /** Returns where the next batch begins, if there is one. */
  async #purgeRecords(run: Run, after: RecordCursor): Promise<RecordCursor | undefined> {
    const { postgres, recordRetentionMs: retentionMs } = this.#options;
    try {
      const { purged, next } = await purgeRecords(postgres, { retentionMs, after, limit: this.#maxRecords.value });
      count(run, purged);
      this.#maxRecords.grow();
      return next;
    } catch (error) {
      if (!ranPastItsTime(error) && !isAboutRecords(error)) return giveUp(run, error);
      if (this.#maxRecords.value === 1) return await this.#passOver(run, { after, error });
      this.#maxRecords.halve();
      return after;
    }
  }

  async #passOver(
    run: Run,
    { after, error }: { after: RecordCursor; error: unknown },
  ): Promise<RecordCursor | undefined> {
    const { postgres, recordRetentionMs: retentionMs } = this.#options;
    if (run.passedOver.length === MAX_PASSED_OVER) return giveUp(run, error);
    try {
      const next = await nextRecord(postgres, { retentionMs, after });
      if (next !== undefined) run.passedOver.push(next.notificationId);
      run.reasons.add(reasonOf(error));
      return next;
    } catch (worse) {
      return giveUp(run, worse);
    }
  }

  /** Returns whether there may be more. */
  async #purgeMalformed(run: Run): Promise<boolean> {
    const { postgres, malformedRetentionMs: retentionMs } = this.#options;
    const limit = this.#maxMalformed.value;
    try {
      const rows = await purgeMalformed(postgres, { retentionMs, limit });
      count(run, { malformed_intents: rows });
      this.#maxMalformed.grow();
      return rows === limit;
    } catch (error) {
      this.#maxMalformed.halve();
      if (ranPastItsTime(error) && limit > 1) return true;
      giveUp(run, error);
      return false;
    }
  }

  #end({ deleted, reasons, passedOver }: Run): void {
    this.#run = undefined;
    this.#options.events.cleaned(deleted);
    if (reasons.size === 0) return;
    this.#logger.error("not all that is past its retention could be deleted: it is tried again at the next run", {
      reason: [...reasons].join("; "),
      next_run_in_ms: this.#options.intervalMs,
      ...(passedOver.length === 0 ? {} : { records_passed_over: passedOver.length, first_passed_over: passedOver[0] }),
    });
  }
}

function count({ deleted }: Run, purged: Readonly<Record<string, number>>): void {
  for (const [table, rows] of Object.entries(purged)) deleted[table] = (deleted[table] ?? 0) + rows;
}

function giveUp({ reasons }: Run, error: unknown): undefined {
  reasons.add(reasonOf(error));
}

/**
 * A constraint or a trigger (`RAISE EXCEPTION` is P0001) that others added refuses the deletion: one record of the
 * batch may be the reason.
 */
function isAboutRecords(error: unknown): boolean {
  return postgresFailure(error) === "data" || (error instanceof pg.DatabaseError && error.code === "P0001");
}

function reasonOf(error: unknown): string {
  return postgresFailure(error) === undefined ? describeDefect(error) : describePostgresError(error);
}
