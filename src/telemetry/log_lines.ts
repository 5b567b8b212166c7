/** A log record → its line: one JSON object, or readable text (docs/contract.md, section 9). */
import type { LogLevel, LogRecord } from "@logtape/logtape";
import { hasControls, printableJson } from "../notification/control_characters.ts";

/** The names of our levels; LogTape uses `warning`. */
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

function jsonLine(record: LogRecord): string {
  const properties = printableJson(record.properties);
  const head = jsonHead(record);
  return properties === "{}" ? `${head}}\n` : `${head},${properties.slice(1)}\n`;
}

let lastHead = { timestamp: NaN, level: "" as LogLevel | "", category: [] as readonly string[], message: "", text: "" };

/** The object up to the record's properties, cached because hundreds of lines in a row have the same. */
function jsonHead({ timestamp, level, category, message: parts }: LogRecord): string {
  const message = parts.join("");
  const isSame = lastHead.timestamp === timestamp && lastHead.level === level && lastHead.category === category &&
    lastHead.message === message;
  if (!isSame) {
    const time = new Date(timestamp).toISOString();
    const head = { time, level: LEVEL_NAMES[level], logger: category.at(-1) ?? "", message };
    lastHead = { timestamp, level, category, message, text: printableJson(head).slice(0, -1) };
  }
  return lastHead.text;
}

function textLine(record: LogRecord): string {
  let line = `${new Date(record.timestamp).toISOString()} ${LEVEL_NAMES[record.level].toUpperCase().padEnd(5)} ` +
    `${record.category.at(-1) ?? ""}: ${oneLine(record.message.join(""))}`;
  for (const [name, value] of Object.entries(record.properties)) {
    if (value !== undefined) line += ` ${name}=${textValue(value)}`;
  }
  return line + "\n";
}

function textValue(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? String(value);
  return text === "" || /[\s"=]/.test(text) || hasControls(text) ? printableJson(text) : text;
}

function oneLine(text: string): string {
  return hasControls(text) ? printableJson(text).slice(1, -1) : text;
}
