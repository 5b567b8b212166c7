/**
 * OpenTelemetry, configured only by the standard `OTEL_*` variables and flushed at shutdown.
 *
 * Without an `OTEL_EXPORTER_OTLP_*` endpoint the SDK is not loaded: nothing is exported, nothing is retried in the
 * background, and the instruments cost almost nothing. OTLP is the only exporter.
 */
import { logs, metrics, ProxyTracerProvider, trace } from "@opentelemetry/api";
import { within } from "../lifecycle/bounded_wait.ts";
import { keepNoClosedConnections } from "./closed_sockets.ts";
import { logDiagnostics } from "./diagnostics.ts";
import { canEncrypt, isEncrypted } from "./encryption.ts";
import { logExporter } from "./log_export.ts";
import { loggerOf, type LogRecord } from "./logger.ts";
import type { Resource } from "./resource.ts";
import type { Tracing } from "./spans.ts";
import { SpanIds } from "./trace_context.ts";
import { isSet, type Signal, type Variables } from "./variables.ts";

export interface Telemetry {
  /** How long a gauge may take; `undefined` if metrics are not exported. */
  readonly gaugeAnswerMs: number | undefined;
  readonly tracing: Tracing;
  /** Exports a log record; `undefined` if logs are not exported. */
  readonly exportLog: ((record: LogRecord) => void) | undefined;
  /** Starts to collect and export the metrics at the caller's next `await`; the caller does not wait for it. */
  exportMetrics(): void;
  /** Exports what is left; never rejects, and resolves after `boundMs` at the latest. */
  shutdown(boundMs: number): Promise<void>;
}

interface Environment extends Variables {
  set(name: string, value: string): void;
}

/** Longer than any query of a gauge takes on healthy servers. */
const MAX_ANSWER_MS = 1000;

/** Enough to send everything in the queues; a collector that can't be reached must not make every stop slow. */
const MAX_FLUSH_MS = 2000;

const SIGNALS: readonly Signal[] = ["TRACES", "METRICS", "LOGS"];

const TLS_ADVICE =
  "over https, see that OTEL_EXPORTER_OTLP_CERTIFICATE names the authority of the collector's certificate, and " +
  "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and …_CLIENT_KEY what it asks of clients";

/** @param environment the process's variables, which the SDK reads; those that it should not see are removed */
export async function startTelemetry(environment: Environment, resource: Resource): Promise<Telemetry> {
  takeOutUnusableEndpoints(environment);
  const isWanted = (signal: Signal) => exportsSignal(environment, signal);
  const tracesAreExported = isWanted("TRACES");
  const exportsMetrics = isWanted("METRICS");
  const exportsLogs = isWanted("LOGS");
  const spanIds = new SpanIds();
  const tracing = { ...tracingOf(environment, tracesAreExported), spanIds };
  if (!tracesAreExported && !exportsMetrics && !exportsLogs) return notExported(tracing);

  const isOverTls = SIGNALS.some((signal) => isEncrypted(environment, signal));
  logDiagnostics(environment.get("OTEL_LOG_LEVEL"), isOverTls ? TLS_ADVICE : undefined);
  // With this variable the SDK would use its console logger instead of ours.
  environment.set("OTEL_LOG_LEVEL", "");
  for (const signal of SIGNALS) environment.set(`OTEL_${signal}_EXPORTER`, "otlp");

  keepNoClosedConnections();
  const { NodeSDK } = await import("@opentelemetry/sdk-node");
  const { resourceDetectors } = await import("./resource.ts");
  const { collectionTimeoutMs, openMetricReader } = await import("./metric_reader.ts");
  const { openLogProcessor, openTraceExporter } = await import("./exporters.ts");
  try {
    const sdk = new NodeSDK({
      instrumentations: [],
      resourceDetectors: resourceDetectors(environment, resource),
      idGenerator: spanIds,
      ...(tracing.isOn ? { traceExporter: openTraceExporter(environment) } : { spanProcessors: [] }),
      metricReaders: exportsMetrics ? [openMetricReader(environment)] : [],
      logRecordProcessors: exportsLogs ? [openLogProcessor(environment)] : [],
    });
    sdk.start();
  } catch {
    // For example a header that gRPC can't send. The error's message contains it, and it may be a token.
    warnOf(
      "nothing is exported: OpenTelemetry can't work with its variables; look at OTEL_EXPORTER_OTLP_HEADERS first",
    );
    return notExported({ ...tracing, isOn: false });
  }
  const exportLog = logExporter();
  let isOver = false;
  return {
    gaugeAnswerMs: exportsMetrics ? Math.min(MAX_ANSWER_MS, collectionTimeoutMs(environment) / 2) : undefined,
    tracing,
    exportLog: exportsLogs ? (record) => isOver || exportLog(record) : undefined,
    exportMetrics,
    async shutdown(boundMs) {
      isOver = true;
      // A collector that can't be reached must not delay the end of the process.
      await within(Math.min(boundMs, MAX_FLUSH_MS), flushed());
    },
  };
}

function notExported(tracing: Tracing): Telemetry {
  return {
    gaugeAnswerMs: undefined,
    tracing,
    exportLog: undefined,
    exportMetrics: () => {},
    shutdown: () => Promise.resolve(),
  };
}

function exportMetrics(): void {
  const provider: object = metrics.getMeterProvider();
  const canFlush = (provider: object): provider is { forceFlush(): Promise<void> } => "forceFlush" in provider;
  // diagnostics.ts logs a failure.
  if (canFlush(provider)) provider.forceFlush().catch(() => {});
}

/** Flushes each signal separately: `NodeSDK.shutdown` gives up all of them as soon as one can't be exported. */
async function flushed(): Promise<void> {
  const tracer = trace.getTracerProvider();
  const providers: object[] = [
    tracer instanceof ProxyTracerProvider ? tracer.getDelegate() : tracer,
    metrics.getMeterProvider(),
    logs.getLoggerProvider(),
  ];
  const canShutDown = (provider: object): provider is { shutdown(): Promise<void> } => "shutdown" in provider;
  await Promise.allSettled(providers.filter(canShutDown).map((provider) => provider.shutdown()));
}

/**
 * Removes unusable endpoints, with one warning each that names the variable but not its value, which may contain a
 * password. With one of them the SDK would end the process, or export to a collector on this machine instead of the
 * intended one.
 */
function takeOutUnusableEndpoints(environment: Environment): void {
  for (const signal of ["", "TRACES_", "METRICS_", "LOGS_"]) {
    const variable = `OTEL_EXPORTER_OTLP_${signal}ENDPOINT`;
    const endpoint = environment.get(variable)?.trim() ?? "";
    // Over gRPC an endpoint may have no scheme.
    if (endpoint === "" || URL.canParse(/^\w+:\/\//.test(endpoint) ? endpoint : `https://${endpoint}`)) continue;
    warnOf(`${variable} is ignored: it should be a URL, such as http://collector:4318`);
    environment.set(variable, "");
  }
}

/** Logs are written to standard output; they are exported only if their exporter is named. */
function exportsSignal(environment: Environment, signal: Signal): boolean {
  if (environment.get("OTEL_SDK_DISABLED")?.trim().toLowerCase() === "true") return false;
  const hasEndpoint = isSet(environment, "OTEL_EXPORTER_OTLP_ENDPOINT") ||
    isSet(environment, `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`);
  const exporters = (environment.get(`OTEL_${signal}_EXPORTER`) ?? "").split(",").map((name) => name.trim());
  const wanted = exporters.filter((name) => name !== "");
  const unknown = wanted.filter((name) => name !== "otlp" && name !== "none");
  if (unknown.length > 0) {
    warnOf(`OTEL_${signal}_EXPORTER names ${unknown.join(", ")}: only otlp and none are supported`);
  }
  if (!hasEndpoint || !(wanted.includes("otlp") || (wanted.length === 0 && signal !== "LOGS"))) return false;
  if (!isEncrypted(environment, signal) || canEncrypt(environment, signal)) return true;
  warnOf(
    `${signal.toLowerCase()} are not exported: this build (Deno ${Deno.version.deno}) can't encrypt gRPC; ` +
      "let OTEL_EXPORTER_OTLP_PROTOCOL be http/protobuf, or the endpoint begin with http://",
  );
  return false;
}

function warnOf(warning: string): void {
  loggerOf("service").warn("questionable configuration", { warning });
}

/** `always_off` switches tracing off: no span begins, and a producer's context passes through unchanged. */
function tracingOf(environment: Environment, isExported: boolean): Omit<Tracing, "spanIds"> {
  const sampler = (environment.get("OTEL_TRACES_SAMPLER") ?? "").trim();
  return {
    isOn: isExported && sampler !== "always_off",
    followsParent: sampler === "" || sampler.startsWith("parentbased_"),
  };
}

export interface Identity {
  /** `service.instance.id` of all telemetry. */
  readonly instanceId: string;
  /** Unique to this process, even if a whole deployment has one `service.instance.id`. */
  readonly processId: string;
}

/** @param attributes `OTEL_RESOURCE_ATTRIBUTES`; its last `service.instance.id` counts; without one the id is random */
export function identityOf(attributes: string | undefined): Identity {
  const random = crypto.randomUUID();
  const given = givenInstanceId(attributes);
  if (given === undefined) return { instanceId: random, processId: random };
  return { instanceId: given, processId: `${given}/${random.slice(0, 8)}` };
}

function givenInstanceId(attributes = ""): string | undefined {
  for (const pair of attributes.split(",").reverse()) {
    const [name, ...value] = pair.split("=");
    if (name?.trim() === "service.instance.id" && value.join("=").trim() !== "") {
      try {
        return decodeURIComponent(value.join("=").trim());
      } catch {
        return value.join("=").trim();
      }
    }
  }
  return undefined;
}
