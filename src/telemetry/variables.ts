/** Those of OpenTelemetry's standard variables that the SDK does not read itself. */
import { diag } from "@opentelemetry/api";

export type Signal = "TRACES" | "METRICS" | "LOGS";

export interface Variables {
  get(name: string): string | undefined;
}

export function isSet(variables: Variables, name: string): boolean {
  return (variables.get(name) ?? "").trim() !== "";
}

/** A number above 0; for any other text `undefined` and one warning. */
export function positive(variables: Variables, name: string): number | undefined {
  const text = variables.get(name)?.trim() ?? "";
  if (text === "") return undefined;
  const value = Number(text);
  if (value > 0 && value < 2 ** 31) return value;
  diag.warn(`${name} (${text}) should be a number above 0: the default is used`);
  return undefined;
}

/** @param signal as in the variables' names, e.g. `TRACES` */
export function protocolOf(variables: Variables, signal: Signal): string {
  return variables.get(`OTEL_EXPORTER_OTLP_${signal}_PROTOCOL`)?.trim() ||
    variables.get("OTEL_EXPORTER_OTLP_PROTOCOL")?.trim() || "http/protobuf";
}
