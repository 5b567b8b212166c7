/** A log record → OpenTelemetry, if logs are also exported over OTLP (`OTEL_LOGS_EXPORTER=otlp`). */
import { type AnyValue, type Logger, logs, ROOT_CONTEXT, SeverityNumber, trace, TraceFlags } from "@opentelemetry/api";
import { DIAGNOSTICS } from "./diagnostics.ts";
import type { LogLevel, LogRecord } from "./logger.ts";

const SEVERITIES: Readonly<Record<LogLevel, SeverityNumber>> = {
  debug: SeverityNumber.DEBUG,
  info: SeverityNumber.INFO,
  warn: SeverityNumber.WARN,
  error: SeverityNumber.ERROR,
};

const TRACE_ID = /^[0-9a-f]{32}$/;

/**
 * Call this after OpenTelemetry has started. The logger's name becomes the scope, the line's fields become attributes.
 */
export function logExporter(): (record: LogRecord) => void {
  const loggers = new Map<string, Logger>();
  return ({ timestamp, level, logger: name, message, fields }) => {
    if (name === DIAGNOSTICS) return;
    let logger = loggers.get(name);
    if (logger === undefined) loggers.set(name, logger = logs.getLogger(name));
    const { trace_id, span_id, ...others } = fields;
    const hasSpan = typeof trace_id === "string" && typeof span_id === "string" && TRACE_ID.test(trace_id);
    logger.emit({
      timestamp,
      severityNumber: SEVERITIES[level],
      severityText: level,
      body: message,
      attributes: attributesOf(hasSpan ? others : fields),
      context: hasSpan
        ? trace.setSpanContext(ROOT_CONTEXT, { traceId: trace_id, spanId: span_id, traceFlags: TraceFlags.SAMPLED })
        : ROOT_CONTEXT,
    });
  };
}

function attributesOf(fields: Readonly<Record<string, unknown>>): Record<string, AnyValue> {
  const attributes: Record<string, AnyValue> = {};
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const isPlain = typeof value === "string" || typeof value === "number" || typeof value === "boolean";
    attributes[name] = isPlain ? value : JSON.stringify(value) ?? String(value);
  }
  return attributes;
}
