/** OpenTelemetry's standard variables → whether a signal is exported over TLS, and whether this runtime can do that. */
import { protocolOf, type Signal, type Variables } from "./variables.ts";

/** The first version of Deno whose HTTP/2 client can use a TLS connection. */
const GRPC_OVER_TLS_SINCE = [2, 8] as const;

/**
 * Decides like the SDK: an endpoint without a scheme, which gRPC allows, is encrypted unless `…_INSECURE` is `true`.
 */
export function isEncrypted(variables: Variables, signal: Signal): boolean {
  const value = (name: string) =>
    variables.get(`OTEL_EXPORTER_OTLP_${signal}_${name}`)?.trim() ||
    variables.get(`OTEL_EXPORTER_OTLP_${name}`)?.trim() || "";
  const endpoint = value("ENDPOINT").toLowerCase();
  if (endpoint.startsWith("http://")) return false;
  return endpoint.startsWith("https://") || value("INSECURE").toLowerCase() !== "true";
}

/** @param deno the runtime's version */
export function canEncrypt(variables: Variables, signal: Signal, deno = Deno.version.deno): boolean {
  if (protocolOf(variables, signal) !== "grpc") return true;
  const [major = 0, minor = 0] = deno.split(".").map(Number);
  return major > GRPC_OVER_TLS_SINCE[0] || (major === GRPC_OVER_TLS_SINCE[0] && minor >= GRPC_OVER_TLS_SINCE[1]);
}
