/** A log record → its line: one JSON object, or readable text (docs/contract.md, section 9). */
import { hasControls, printableJson } from "../notification/control_characters.ts";
import type { LogRecord } from "./logger.ts";

export type LogFormat = "json" | "text";

export function logLine(record: LogRecord, format: LogFormat): string {
  return format === "json" ? jsonLine(record) : textLine(record);
}

function jsonLine(record: LogRecord): string {
  const fields = printableJson(record.fields);
  const head = jsonHead(record);
  return fields === "{}" ? `${head}}\n` : `${head},${fields.slice(1)}\n`;
}

let lastHead = { timestamp: NaN, level: "", logger: "", message: "", text: "" };

/** The object up to the record's fields, cached because hundreds of lines in a row have the same. */
function jsonHead({ timestamp, level, logger, message }: LogRecord): string {
  const isSame = lastHead.timestamp === timestamp && lastHead.level === level && lastHead.logger === logger &&
    lastHead.message === message;
  if (!isSame) {
    const head = { time: new Date(timestamp).toISOString(), level, logger, message };
    lastHead = { timestamp, level, logger, message, text: printableJson(head).slice(0, -1) };
  }
  return lastHead.text;
}

function textLine({ timestamp, level, logger, message, fields }: LogRecord): string {
  let line = `${new Date(timestamp).toISOString()} ${level.toUpperCase().padEnd(5)} ${logger}: ${oneLine(message)}`;
  for (const [name, value] of Object.entries(fields)) {
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
