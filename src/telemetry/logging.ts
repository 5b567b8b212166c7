/**
 * Sets LogTape up to write the service's lines to standard output, and flushes them on the way out.
 *
 * `warn` and `error` lines of one kind (logger and message) are written ten times a second at most; a line then says
 * how many more there were.
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
  /** From here on, and with what was logged so far, `take` gets every line that is written; nobody, if it is absent. */
  forward(take: ((record: LogRecord) => void) | undefined): void;
  /** Resolves when what was logged so far is written, when `boundMs` have passed, or when the output is blocked. */
  flush(boundMs: number): Promise<void>;
}

const ROOT = "notification_service";
const MAX_A_SECOND = 10;
/** Lines kept for whoever they will be forwarded to. */
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

/** What the last {@link setUpLogging} writes lines with. */
let writeInfo: (record: LogRecord) => void = () => {};

/**
 * As `logger.info(message, properties)`, at half the cost, for the line that each intent has: LogTape copies the properties
 * twice and notes the record in a `WeakSet` (with it the log took 13 % of the throughput, without it 7 %).
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

/** Counts lines by kind within a second, and says at its end how many were held back. */
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

  /** Ends the second that runs. */
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
