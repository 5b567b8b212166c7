/**
 * Sets the loggers up to write the service's lines to standard output, and flushes them at the end of the process.
 *
 * At most ten `warn` and `error` lines of one kind (logger, level and message, numbers left out) are written per
 * second; a line then reports how many more there were.
 */
import { after } from "../clock.ts";
import { LogBuffer, type LogOutput } from "./log_buffer.ts";
import { type LogFormat, logLine } from "./log_lines.ts";
import { type LogLevel, type LogRecord, logTo, recordOf } from "./logger.ts";

export interface LogSettings {
  readonly level: LogLevel;
  readonly format: LogFormat;
}

export interface Logging {
  /** Passes every line that is written to `take`, with the lines logged so far; without `take` no line is passed on. */
  forward(take: ((record: LogRecord) => void) | undefined): void;
  /** Resolves when the lines logged so far are written, when `boundMs` have passed, or when the output is blocked. */
  flush(boundMs: number): Promise<void>;
  /** From now on, nothing is logged. */
  stop(): void;
}

const MAX_A_SECOND = 10;
/** The maximum number of lines that are kept until {@link Logging.forward} is called. */
const MAX_EARLY = 100;
const DROPPED = "log lines dropped: the output is blocked";

export function setUpLogging(settings: LogSettings, output: LogOutput = Deno.stdout): Logging {
  const line = (record: LogRecord) => logLine(record, settings.format);
  const buffer = new LogBuffer(
    output,
    (dropped) => line(recordOf("warn", { logger: "log", message: DROPPED, fields: { dropped } })),
  );
  const early: LogRecord[] = [];
  let forward: ((record: LogRecord) => void) | undefined = (record) => early.length < MAX_EARLY && early.push(record);
  const write = (record: LogRecord) => {
    buffer.add(line(record), { important: isLimited(record.level) });
    forward?.(record);
  };
  const limiter = new Limiter(write);
  const stop = logTo(settings.level, (record) => isLimited(record.level) ? limiter.take(record) : write(record));
  return {
    forward(take) {
      forward = take;
      for (const record of early.splice(0)) take?.(record);
    },
    async flush(boundMs) {
      limiter.finish();
      await buffer.flush(boundMs);
    },
    stop,
  };
}

function isLimited(level: LogLevel): boolean {
  return level === "warn" || level === "error";
}

/** Counts lines by kind within a second, and reports at its end how many were not written. */
class Limiter {
  readonly #write: (record: LogRecord) => void;
  readonly #kinds = new Map<string, { count: number; last: LogRecord }>();
  #cancelFinish: (() => void) | undefined;

  constructor(write: (record: LogRecord) => void) {
    this.#write = write;
  }

  take(record: LogRecord): void {
    const kind = `${record.logger} ${record.level} ${record.message.replace(/\d+/g, "")}`;
    const known = this.#kinds.get(kind);
    if (known === undefined) this.#kinds.set(kind, { count: 1, last: record });
    else {
      known.count++;
      known.last = record;
    }
    if ((known?.count ?? 1) <= MAX_A_SECOND) this.#write(record);
    this.#cancelFinish ??= after(1000, () => this.finish());
  }

  /** Ends the current second. */
  finish(): void {
    this.#cancelFinish?.();
    this.#cancelFinish = undefined;
    for (const { count, last } of this.#kinds.values()) {
      if (count <= MAX_A_SECOND) continue;
      const message = `${last.message} (more lines of this kind in the last second)`;
      this.#write({ ...last, message, fields: { lines: count - MAX_A_SECOND } });
    }
    this.#kinds.clear();
  }
}
