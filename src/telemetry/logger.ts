/**
 * A message and its fields → a log record, passed to the sink that {@link logTo} has set; without one it is dropped.
 *
 * A message is plain text, not a template. Logging never throws: fields that cannot be written are replaced by the
 * reason.
 */
import { systemClock } from "../clock.ts";

export const LOG_LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = typeof LOG_LEVELS[number];

export interface LogRecord {
  /** Unix milliseconds. */
  readonly timestamp: number;
  readonly level: LogLevel;
  /** The name of the loop or listener. */
  readonly logger: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

let lowest: number = LOG_LEVELS.length;
let take: (record: LogRecord) => void = () => {};

/** Passes every record of this level and above to `sink`. Returns a function that drops records again. */
export function logTo(level: LogLevel, sink: (record: LogRecord) => void): () => void {
  lowest = LOG_LEVELS.indexOf(level);
  take = sink;
  return () => lowest = LOG_LEVELS.length;
}

/** @param fields is kept for as long as its line is: change nothing in it afterwards */
type Log = (message: string, fields?: object) => void;

export type Logger = Readonly<Record<LogLevel, Log>>;

/** The logger of a loop or listener; its name is the line's `logger`. */
export function loggerOf(name: string): Logger {
  const log = (level: LogLevel): Log => {
    const rank = LOG_LEVELS.indexOf(level);
    return (message, fields) => {
      if (rank >= lowest) pass(recordOf(level, { logger: name, message, fields: fields ?? {} }));
    };
  };
  return { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
}

export function recordOf(
  level: LogLevel,
  { logger, message, fields }: { readonly logger: string; readonly message: string; readonly fields: object },
): LogRecord {
  const timestamp = systemClock.now();
  return { timestamp, level, logger, message, fields: fields as Readonly<Record<string, unknown>> };
}

function pass(record: LogRecord): void {
  try {
    take(record);
  } catch (error) {
    // A field that can't be written as JSON must not fail the work that is logged.
    take({ ...record, fields: { log_error: String(error) } });
  }
}
