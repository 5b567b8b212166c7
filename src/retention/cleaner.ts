/** The third loop: what is past its retention time goes, in bounded batches, every `CLEANUP_INTERVAL`. */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { BatchLimit } from "../lifecycle/batch_limit.ts";
import type { Loop } from "../lifecycle/run_loop.ts";
import { ranPastItsTime } from "../postgres/failures.ts";
import type { RetentionEvents } from "./events.ts";
import { BEFORE_ALL_RECORDS, purgeMalformed, purgeRecords, type RecordCursor } from "./purge.ts";

/** Deleting this many records with their routes takes some tens of milliseconds. */
const MAX_BATCH_RECORDS = 1000;

export interface CleanerOptions {
  readonly recordRetentionMs: number;
  readonly malformedRetentionMs: number;
  readonly intervalMs: number;
  readonly postgres: pg.Pool;
  readonly events: RetentionEvents;
  readonly clock: Clock;
}

export class RetentionCleaner implements Loop {
  readonly name = "retention_cleaner";
  readonly #options: CleanerOptions;
  /** How far this run has come; nothing between two runs. */
  #run: { after: RecordCursor; deleted: Record<string, number> } | undefined;
  /** Fewer while a batch takes PostgreSQL too long, as it may where each record has thousands of routes. */
  readonly #limit = new BatchLimit(MAX_BATCH_RECORDS);

  constructor(options: CleanerOptions) {
    this.#options = options;
  }

  async pass(): Promise<"again" | "idle"> {
    try {
      const result = await this.#purge(this.#limit.value);
      this.#limit.grow();
      return result;
    } catch (error) {
      if (ranPastItsTime(error)) this.#limit.halve();
      throw error;
    }
  }

  async idle(stop: AbortSignal): Promise<void> {
    await this.#options.clock.sleep(this.#options.intervalMs, stop);
  }

  async #purge(limit: number): Promise<"again" | "idle"> {
    const { postgres, recordRetentionMs, malformedRetentionMs } = this.#options;
    const run = this.#run ??= { after: BEFORE_ALL_RECORDS, deleted: {} };
    const { purged, next } = await purgeRecords(postgres, {
      retentionMs: recordRetentionMs,
      after: run.after,
      limit,
    });
    if (next !== undefined) run.after = next;
    const malformed = await purgeMalformed(postgres, { retentionMs: malformedRetentionMs, limit });
    for (const [table, rows] of Object.entries({ ...purged, malformed_intents: malformed })) {
      run.deleted[table] = (run.deleted[table] ?? 0) + rows;
    }
    if (next !== undefined || malformed === limit) return "again";
    this.#options.events.cleaned(run.deleted);
    this.#run = undefined;
    return "idle";
  }
}
