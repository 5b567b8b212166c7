/**
 * Sets LogTape up to write the service's lines to standard output, and flushes them at the end of the process.
 *
 * At most ten `warn` and `error` lines of one kind (logger and message) are written per second; a line then reports how
 * many more there were.
 */
import { configure, getLogger, type Logger, type LogLevel, type LogRecord } from "@logtape/logtape";
import { after, systemClock } from "../clock.ts";
import { LogBuffer, type LogOutput } from "./log_buffer.ts";
import { type LogFormat, logLine } from "./log_lines.ts";

export interface LogSettings {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly format: LogFormat;
}

export interface Logging {
  /** Passes every line that is written to `take`, with the lines logged so far; without `take` no line is passed on. */
  forward(take: ((record: LogRecord) => void) | undefined): void;
  /** Resolves when the lines logged so far are written, when `boundMs` have passed, or when the output is blocked. */
  flush(boundMs: number): Promise<void>;
}

const ROOT = "notification_service";
const MAX_A_SECOND = 10;
/** The maximum number of lines that are kept until {@link Logging.forward} is called. */
const MAX_EARLY = 100;

export async function setUpLogging(settings: LogSettings, output: LogOutput = Deno.stdout): Promise<Logging> {
  const line = (record: LogRecord) => logLine(record, settings.format);
  const buffer = new LogBuffer(
    output,
    (dropped) => line(ownRecord("warning", "log lines dropped: the output is blocked", { dropped })),
  );
  const early: LogRecord[] = [];
  let forward: ((record: LogRecord) => void) | undefined = (record) => early.length < MAX_EARLY && early.push(record);
  const write = (record: LogRecord) => {
    buffer.add(line(record), { important: isLimited(record.level) });
    forward?.(record);
  };
  writeInfo = write;
  const limiter = new Limiter(write);
  await configure({
    reset: true,
    sinks: { output: (record) => isLimited(record.level) ? limiter.take(record) : write(record) },
    loggers: [
      { category: ROOT, sinks: ["output"], lowestLevel: settings.level === "warn" ? "warning" : settings.level },
      { category: ["logtape", "meta"], sinks: ["output"], lowestLevel: "warning" },
    ],
  });
  return {
    forward(take) {
      forward = take;
      for (const record of early.splice(0)) take?.(record);
    },
    async flush(boundMs) {
      limiter.finish();
      await buffer.flush(boundMs);
    },
  };
}

/** Set by {@link setUpLogging}: writes an `info` line. */
let writeInfo: (record: LogRecord) => void = () => {};

/**
 * Like `logger.info(message, properties)` at half the cost, for the line of each intent: LogTape copies the properties
 * twice and adds the record to a `WeakSet` (the log cost 13 % of the throughput that way, and 7 % this way).
 */
export function logOften(logger: Logger, message: string, properties: object): void {
  if (!logger.isEnabledFor("info")) return;
  const { category } = logger;
  const timestamp = systemClock.now();
  const record = { category, level: "info", message: [message], rawMessage: message, timestamp, properties } as const;
  writeInfo(record as unknown as LogRecord);
}

/** The logger of a loop or listener; its name is the line's `logger`. */
export function loggerOf(name: string): Logger {
  return getLogger([ROOT, name]);
}

function isLimited(level: LogLevel): boolean {
  return level === "warning" || level === "error" || level === "fatal";
}

function ownRecord(level: LogLevel, message: string, properties: Record<string, unknown>): LogRecord {
  return {
    category: [ROOT, "log"],
    level,
    message: [message],
    rawMessage: message,
    timestamp: systemClock.now(),
    properties,
  };
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
    const kind = `${record.category.at(-1)} ${record.level} ${record.rawMessage}`;
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
      const message = `${last.message.join("")} (more lines of this kind in the last second)`;
      this.#write({ ...last, message: [message], rawMessage: message, properties: { lines: count - MAX_A_SECOND } });
    }
    this.#kinds.clear();
  }
}
