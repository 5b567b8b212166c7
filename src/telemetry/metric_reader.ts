/**
 * The standard variables → what collects the metrics and sends them off; as the SDK does it by itself, but for one thing:
 * a gauge that was not observed is left out. The SDK would repeat its last value for ever, also while nobody knows it.
 */
import { diag } from "@opentelemetry/api";
import { OTLPMetricExporter as GrpcExporter } from "@opentelemetry/exporter-metrics-otlp-grpc";
import { OTLPMetricExporter as JsonExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtobufExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import {
  AggregationTemporality,
  InstrumentType,
  type MetricReader,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";

interface Environment {
  get(name: string): string | undefined;
}

const INTERVAL_MS = 60_000;
const TIMEOUT_MS = 30_000;

/** How long a collection waits for what it observes. */
export function collectionTimeoutMs(environment: Environment): number {
  return Math.min(positive(environment, "OTEL_METRIC_EXPORT_TIMEOUT") ?? TIMEOUT_MS, exportIntervalMs(environment));
}

export function openMetricReader(environment: Environment): MetricReader {
  const exporter = openExporter(environment);
  const temporalityOf = exporter.selectAggregationTemporality.bind(exporter);
  // On the wire a gauge has no temporality; here it decides whether the last collection's value is kept.
  exporter.selectAggregationTemporality = (type) =>
    type === InstrumentType.OBSERVABLE_GAUGE ? AggregationTemporality.DELTA : temporalityOf(type);
  return new PeriodicExportingMetricReader({
    exporter,
    exportIntervalMillis: exportIntervalMs(environment),
    exportTimeoutMillis: collectionTimeoutMs(environment),
  });
}

function exportIntervalMs(environment: Environment): number {
  return positive(environment, "OTEL_METRIC_EXPORT_INTERVAL") ?? INTERVAL_MS;
}

function openExporter(environment: Environment) {
  const protocol = environment.get("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL")?.trim() ||
    environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")?.trim() || "http/protobuf";
  switch (protocol) {
    case "grpc":
      return new GrpcExporter();
    case "http/json":
      return new JsonExporter();
    case "http/protobuf":
      return new ProtobufExporter();
    default:
      diag.warn(`Unsupported OTLP metrics protocol: ${protocol}. Using http/protobuf.`);
      return new ProtobufExporter();
  }
}

function positive(environment: Environment, name: string): number | undefined {
  const text = environment.get(name)?.trim() ?? "";
  if (text === "") return undefined;
  const value = Number(text);
  if (value > 0 && value < 2 ** 31) return value;
  diag.warn(`${name} (${text}) is to be a number of milliseconds above 0: the default is taken`);
  return undefined;
}
