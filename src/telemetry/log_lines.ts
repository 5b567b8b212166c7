/** A log record → its line: one JSON object, or text for people. Contract, section 9. */
import type { LogLevel, LogRecord } from "@logtape/logtape";

/** How our levels are spelled; LogTape says `warning`. */
const LEVEL_NAMES: Readonly<Record<LogLevel, string>> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warning: "warn",
  error: "error",
  fatal: "error",
};

export type LogFormat = "json" | "text";

export function logLine(record: LogRecord, format: LogFormat): string {
  return format === "json" ? jsonLine(record) : textLine(record);
}

/** Put together from two objects: one of both would be made and thrown away with every line. */
function jsonLine(record: LogRecord): string {
  const head = JSON.stringify({
    time: isoTime(record.timestamp),
    level: LEVEL_NAMES[record.level],
    logger: record.category.at(-1) ?? "",
    message: record.message.join(""),
  });
  const properties = JSON.stringify(record.properties);
  return properties === "{}" ? `${head}\n` : `${head.slice(0, -1)},${properties.slice(1)}\n`;
}

function textLine(record: LogRecord): string {
  let line = `${isoTime(record.timestamp)} ${LEVEL_NAMES[record.level].toUpperCase().padEnd(5)} ` +
    `${record.category.at(-1) ?? ""}: ${oneLine(record.message.join(""))}`;
  for (const [name, value] of Object.entries(record.properties)) {
    if (value !== undefined) line += ` ${name}=${textValue(value)}`;
  }
  return line + "\n";
}

function textValue(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? String(value);
  return text === "" || /[\s"=]/.test(text) || hasControl.test(text) ? quoted(text) : text;
}

// deno-lint-ignore no-control-regex -- a log line must not carry a terminal's control characters
const hasControl = /[\x00-\x1f\x7f-\x9f\u2028\u2029]/;

function oneLine(text: string): string {
  return hasControl.test(text) ? quoted(text).slice(1, -1) : text;
}

/** As JSON, which leaves some control characters as they are: those are escaped as well. */
function quoted(text: string): string {
  const escaped = (character: string) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[\x7f-\x9f\u2028\u2029]/g, escaped);
}

let lastTimestamp = NaN;
let lastIsoTime = "";

/** Thousands of lines a second share a millisecond. */
function isoTime(timestamp: number): string {
  if (timestamp !== lastTimestamp) {
    lastTimestamp = timestamp;
    lastIsoTime = new Date(timestamp).toISOString();
  }
  return lastIsoTime;
}
