/**
 * OpenTelemetry, configured by the standard `OTEL_*` variables alone and flushed at shutdown.
 *
 * Without an `OTEL_EXPORTER_OTLP_*` endpoint the SDK is not even loaded: nothing is exported, nothing is retried in the
 * background, and the instruments cost next to nothing. There is no exporter but OTLP.
 */
import type { LogRecord } from "@logtape/logtape";
import { logs, metrics, ProxyTracerProvider, trace } from "@opentelemetry/api";
import { within } from "../lifecycle/bounded_wait.ts";
import { keepNoClosedConnections } from "./closed_sockets.ts";
import { logDiagnostics } from "./diagnostics.ts";
import { canEncrypt, isEncrypted } from "./encryption.ts";
import { logExporter } from "./log_export.ts";
import { loggerOf } from "./logging.ts";
import type { Resource } from "./resource.ts";
import type { Tracing } from "./spans.ts";
import { SpanIds } from "./trace_context.ts";
import { isSet, type Signal, type Variables } from "./variables.ts";

export interface Telemetry {
  /** How long a gauge may take, if anybody looks at gauges. */
  readonly gaugeAnswerMs: number | undefined;
  readonly tracing: Tracing;
  /** Takes what is logged, if logs are exported. */
  readonly exportLog: ((record: LogRecord) => void) | undefined;
  /** Takes the metrics as they are when the caller next waits, and sends them off; the caller waits for neither. */
  exportMetrics(): void;
  /** Exports what is left; never rejects, and is over after `boundMs`. */
  shutdown(boundMs: number): Promise<void>;
}

interface Environment extends Variables {
  set(name: string, value: string): void;
}

/** Longer than any look-up takes on servers that are well. */
const MAX_ANSWER_MS = 1000;

/** Enough to send all that the queues hold; a collector that is not there must not make every stop a slow one. */
const MAX_FLUSH_MS = 2000;

const SIGNALS: readonly Signal[] = ["TRACES", "METRICS", "LOGS"];

const TLS_ADVICE =
  "over https, see that OTEL_EXPORTER_OTLP_CERTIFICATE names the authority of the collector's certificate, and " +
  "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and …_CLIENT_KEY what it asks of clients";

/** @param environment the process's variables, which the SDK reads; what it should not see is taken out of them */
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
  // With it, the SDK would put its console logger in the place of ours.
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
    // A header that gRPC can't send, for one. The error's message shows it, and it may be a token.
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
      // A collector that can't be reached must not keep the process from ending.
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
  // That it fails is told by diagnostics.ts.
  if (canFlush(provider)) provider.forceFlush().catch(() => {});
}

/** Signal by signal: `NodeSDK.shutdown` gives up on all as soon as one can't be exported. */
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
 * One warning each that names the variable and not its value, which may hold a password. The SDK would end the process over
 * one of them, or send to a collector on this machine in the place of the one that was meant.
 */
function takeOutUnusableEndpoints(environment: Environment): void {
  for (const signal of ["", "TRACES_", "METRICS_", "LOGS_"]) {
    const variable = `OTEL_EXPORTER_OTLP_${signal}ENDPOINT`;
    const endpoint = environment.get(variable)?.trim() ?? "";
    // Over gRPC it may be without a scheme.
    if (endpoint === "" || URL.canParse(/^\w+:\/\//.test(endpoint) ? endpoint : `https://${endpoint}`)) continue;
    warnOf(`${variable} is ignored: it is to be a URL, such as http://collector:4318`);
    environment.set(variable, "");
  }
}

/** Logs go to standard output; their export is asked for by name. */
function exportsSignal(environment: Environment, signal: Signal): boolean {
  if (environment.get("OTEL_SDK_DISABLED")?.trim().toLowerCase() === "true") return false;
  const hasEndpoint = isSet(environment, "OTEL_EXPORTER_OTLP_ENDPOINT") ||
    isSet(environment, `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`);
  const exporters = (environment.get(`OTEL_${signal}_EXPORTER`) ?? "").split(",").map((name) => name.trim());
  const wanted = exporters.filter((name) => name !== "");
  const unknown = wanted.filter((name) => name !== "otlp" && name !== "none");
  if (unknown.length > 0) {
    warnOf(`OTEL_${signal}_EXPORTER names ${unknown.join(", ")}: only otlp and none are known here`);
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

/** `always_off` is tracing switched off: nothing is begun, and a producer's context goes through as it came. */
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
  /** No other process has it, also where one `service.instance.id` is given to a whole deployment. */
  readonly processId: string;
}

/** @param attributes `OTEL_RESOURCE_ATTRIBUTES`; its last `service.instance.id` counts, without one the id is random */
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
