/**
 * Exporters over HTTP whose TLS connections use the certificates that the standard variables' files hold now.
 *
 * The SDK's own agents read the files once: a certificate that is replaced would not be used before the next start.
 */
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { diag } from "@opentelemetry/api";
import { OTLPLogExporter as JsonLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { OTLPMetricExporter as JsonMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { OTLPTraceExporter as JsonTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { isSet, protocolOf, type Signal, type Variables } from "./variables.ts";

export function httpTraceExporter(variables: Variables): OTLPTraceExporter {
  return new (isJson(variables, "TRACES") ? JsonTraceExporter : OTLPTraceExporter)(agentOptions(variables, "TRACES"));
}

export function httpMetricExporter(variables: Variables): OTLPMetricExporter | JsonMetricExporter {
  return new (isJson(variables, "METRICS") ? JsonMetricExporter : OTLPMetricExporter)(
    agentOptions(variables, "METRICS"),
  );
}

export function httpLogExporter(variables: Variables): OTLPLogExporter {
  return new (isJson(variables, "LOGS") ? JsonLogExporter : OTLPLogExporter)(agentOptions(variables, "LOGS"));
}

function isJson(variables: Variables, signal: Signal): boolean {
  return protocolOf(variables, signal) === "http/json";
}

function agentOptions(variables: Variables, signal: Signal) {
  const httpAgentOptions = (protocol: string) =>
    protocol === "http:" ? new HttpAgent({ keepAlive: true }) : agentOf(filesOf(variables, signal));
  return { httpAgentOptions };
}

/** One of TLS's options, whose value a file holds. */
interface TlsFile {
  readonly option: string;
  /** The variable that names it. */
  readonly variable: string;
  readonly path: string;
}

const FILES = { ca: "CERTIFICATE", cert: "CLIENT_CERTIFICATE", key: "CLIENT_KEY" } as const;

/** A signal's own variable counts before the one for all. */
function filesOf(variables: Variables, signal: Signal): TlsFile[] {
  return Object.entries(FILES).flatMap(([option, name]) => {
    const names = [`OTEL_EXPORTER_OTLP_${signal}_${name}`, `OTEL_EXPORTER_OTLP_${name}`];
    const variable = names.find((name) => isSet(variables, name));
    return variable === undefined ? [] : [{ option, variable, path: variables.get(variable)!.trim() }];
  });
}

/** Connections that were made with what the files held before are not used for what they hold now. */
function agentOf(files: readonly TlsFile[]): HttpsAgent {
  const agent = new HttpsAgent({ keepAlive: true });
  // Read with each request. Not in createConnection(), whose options Deno 2.7 does not look at.
  for (const { option, variable, path } of files) {
    let held: string | undefined;
    const get = () => {
      try {
        return held = Deno.readTextFileSync(path);
      } catch {
        diag.warn(`The file that ${variable} names can't be read`);
        return held;
      }
    };
    Object.defineProperty(agent.options, option, { enumerable: true, get });
  }
  return agent;
}
