/**
 * Exporters over gRPC that try again when the collector can't be reached, as OTLP requires; the SDK's own do so only
 * over HTTP.
 *
 * The first export makes the connection, which sometimes closes at once (seen with Deno 2.7, one in ten to twenty).
 * Without another try that batch would be lost, and the log would say that nothing can be exported.
 */
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-grpc";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-grpc";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { after } from "../clock.ts";

export function grpcMetricExporter(): OTLPMetricExporter {
  return tryingAgain(new OTLPMetricExporter());
}

export function grpcTraceExporter(): OTLPTraceExporter {
  return tryingAgain(new OTLPTraceExporter());
}

export function grpcLogExporter(): OTLPLogExporter {
  return tryingAgain(new OTLPLogExporter());
}

interface Exporter<Items> {
  export(items: Items, done: (result: { code: number; error?: Error }) => void): void;
}

const MAX_TRIES = 3;
/** A little longer than gRPC waits before it connects again; until then it refuses at once. */
const TRY_AGAIN_MS = 1250;
const SUCCESS = 0;
const UNAVAILABLE = 14;

/** Exported for its test. */
export function tryingAgain<Items, Of extends Exporter<Items>>(exporter: Of): Of {
  const exportOnce = exporter.export.bind(exporter);
  exporter.export = (items, done) => {
    let tries = 0;
    const attempt = () =>
      exportOnce(items, (result) => {
        if (result.code === SUCCESS || ++tries === MAX_TRIES || !isUnavailable(result.error)) return done(result);
        after(TRY_AGAIN_MS, attempt);
      });
    attempt();
  };
  return exporter;
}

function isUnavailable(error: Error | undefined): boolean {
  return error !== undefined && "code" in error && error.code === UNAVAILABLE;
}
