/** A log record → OpenTelemetry, if logs are also exported over OTLP (`OTEL_LOGS_EXPORTER=otlp`). */
import type { LogLevel, LogRecord } from "@logtape/logtape";
import { type AnyValue, type Logger, logs, ROOT_CONTEXT, SeverityNumber, trace, TraceFlags } from "@opentelemetry/api";
import { DIAGNOSTICS } from "./diagnostics.ts";

const SEVERITIES: Readonly<Record<LogLevel, readonly [SeverityNumber, string]>> = {
  trace: [SeverityNumber.DEBUG, "debug"],
  debug: [SeverityNumber.DEBUG, "debug"],
  info: [SeverityNumber.INFO, "info"],
  warning: [SeverityNumber.WARN, "warn"],
  error: [SeverityNumber.ERROR, "error"],
  fatal: [SeverityNumber.ERROR, "error"],
};

const TRACE_ID = /^[0-9a-f]{32}$/;

/**
 * Call this after OpenTelemetry has started. The logger's name becomes the scope, the line's fields become attributes.
 */
export function logExporter(): (record: LogRecord) => void {
  const loggers = new Map<string, Logger>();
  return (record) => {
    const name = record.category.at(-1) ?? "";
    if (name === DIAGNOSTICS) return;
    let logger = loggers.get(name);
    if (logger === undefined) loggers.set(name, logger = logs.getLogger(name));
    const { trace_id, span_id, ...properties } = record.properties;
    const [severityNumber, severityText] = SEVERITIES[record.level];
    const hasSpan = typeof trace_id === "string" && typeof span_id === "string" && TRACE_ID.test(trace_id);
    logger.emit({
      timestamp: record.timestamp,
      severityNumber,
      severityText,
      body: record.message.join(""),
      attributes: attributesOf(hasSpan ? properties : { ...properties, trace_id, span_id }),
      context: hasSpan
        ? trace.setSpanContext(ROOT_CONTEXT, { traceId: trace_id, spanId: span_id, traceFlags: TraceFlags.SAMPLED })
        : ROOT_CONTEXT,
    });
  };
}

function attributesOf(properties: Record<string, unknown>): Record<string, AnyValue> {
  const attributes: Record<string, AnyValue> = {};
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    const isPlain = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
    attributes[name] = isPlain ? value : JSON.stringify(value) ?? String(value);
  }
  return attributes;
}
