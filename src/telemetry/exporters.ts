/** The standard variables → what sends spans, metrics and log records off, by the protocol that they name. */
import { diag } from "@opentelemetry/api";
import { BatchLogRecordProcessor, type LogRecordProcessor } from "@opentelemetry/sdk-logs";
import type { SpanExporter } from "@opentelemetry/sdk-trace";
import { grpcLogExporter, grpcMetricExporter, grpcTraceExporter } from "./grpc_exporters.ts";
import { httpLogExporter, httpMetricExporter, httpTraceExporter } from "./http_exporters.ts";
import { positive, protocolOf, type Signal, type Variables } from "./variables.ts";

export function openTraceExporter(variables: Variables): SpanExporter {
  return isGrpc(variables, "TRACES") ? grpcTraceExporter() : httpTraceExporter(variables);
}

export function openMetricExporter(variables: Variables) {
  return isGrpc(variables, "METRICS") ? grpcMetricExporter() : httpMetricExporter(variables);
}

/** With the standard variables for its queue. */
export function openLogProcessor(variables: Variables): LogRecordProcessor {
  const setting = (name: string) => positive(variables, `OTEL_BLRP_${name}`);
  return new BatchLogRecordProcessor({
    exporter: isGrpc(variables, "LOGS") ? grpcLogExporter() : httpLogExporter(variables),
    maxQueueSize: setting("MAX_QUEUE_SIZE"),
    scheduledDelayMillis: setting("SCHEDULE_DELAY"),
    exportTimeoutMillis: setting("EXPORT_TIMEOUT"),
    maxExportBatchSize: setting("MAX_EXPORT_BATCH_SIZE"),
  });
}

function isGrpc(variables: Variables, signal: Signal): boolean {
  const protocol = protocolOf(variables, signal);
  if (!["grpc", "http/protobuf", "http/json"].includes(protocol)) {
    diag.warn(`Unsupported OTLP ${signal.toLowerCase()} protocol: ${protocol}. Using http/protobuf.`);
  }
  return protocol === "grpc";
}
