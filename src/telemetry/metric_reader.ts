/**
 * The standard variables → the reader that collects and exports the metrics. It works like the SDK's own, with one
 * difference: a gauge that was not observed is left out. The SDK would repeat its last value forever, also while the
 * value is unknown.
 */
import { diag } from "@opentelemetry/api";
import { OTLPMetricExporter as JsonExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtobufExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import {
  AggregationTemporality,
  InstrumentType,
  type MetricReader,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { grpcMetricExporter } from "./grpc_exporters.ts";
import { positive, protocolOf, type Variables } from "./variables.ts";

const INTERVAL_MS = 60_000;
const TIMEOUT_MS = 30_000;

/** How long a collection waits for its gauges. */
export function collectionTimeoutMs(variables: Variables): number {
  return Math.min(positive(variables, "OTEL_METRIC_EXPORT_TIMEOUT") ?? TIMEOUT_MS, exportIntervalMs(variables));
}

export function openMetricReader(variables: Variables): MetricReader {
  const exporter = openExporter(variables);
  const temporalityOf = exporter.selectAggregationTemporality.bind(exporter);
  // A gauge is exported without a temporality; here the temporality decides whether the value of the last collection is
  // kept.
  exporter.selectAggregationTemporality = (type) =>
    type === InstrumentType.OBSERVABLE_GAUGE ? AggregationTemporality.DELTA : temporalityOf(type);
  return new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: exportIntervalMs(variables),
    exportTimeoutMillis: collectionTimeoutMs(variables),
  });
}

function exportIntervalMs(variables: Variables): number {
  return positive(variables, "OTEL_METRIC_EXPORT_INTERVAL") ?? INTERVAL_MS;
}

function openExporter(variables: Variables) {
  const protocol = protocolOf(variables, "METRICS");
  switch (protocol) {
    case "grpc":
      return grpcMetricExporter();
    case "http/json":
      return new JsonExporter();
    case "http/protobuf":
      return new ProtobufExporter();
    default:
      diag.warn(`Unsupported OTLP metrics protocol: ${protocol}. Using http/protobuf.`);
      return new ProtobufExporter();
  }
}
