/**
 * The standard variables → the reader that collects and exports the metrics. It works like the SDK's own, with one
 * difference: a gauge that was not observed is left out. The SDK would repeat its last value forever, also while the
 * value is unknown.
 */
import {
  AggregationTemporality,
  InstrumentType,
  type MetricReader,
  PeriodicExportingMetricReader,
} from "@opentelemetry/sdk-metrics";
import { openMetricExporter } from "./exporters.ts";
import { positive, type Variables } from "./variables.ts";

const INTERVAL_MS = 60_000;
const TIMEOUT_MS = 30_000;

/** How long a collection waits for its gauges. */
export function collectionTimeoutMs(variables: Variables): number {
  return Math.min(positive(variables, "OTEL_METRIC_EXPORT_TIMEOUT") ?? TIMEOUT_MS, exportIntervalMs(variables));
}

export function openMetricReader(variables: Variables): MetricReader {
  const exporter = openMetricExporter(variables);
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
