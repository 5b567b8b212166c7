/** When a signal is encrypted, by the standard variables, and which runtimes can't encrypt gRPC. */
import assert from "node:assert/strict";
import { canEncrypt, isEncrypted } from "./encryption.ts";

const variables = (given: Readonly<Record<string, string>>) => ({ get: (name: string) => given[name] });

Deno.test("isEncrypted() uses the signal's endpoint, then the common one, then INSECURE", () => {
  const cases: readonly (readonly [Readonly<Record<string, string>>, boolean])[] = [
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" }, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: " HTTPS://collector:4318" }, true],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "http://c", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "https://c" }, true],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "https://c", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://c" }, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "https://c", OTEL_EXPORTER_OTLP_INSECURE: "true" }, true],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317" }, true],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317", OTEL_EXPORTER_OTLP_INSECURE: " True" }, false],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4317", OTEL_EXPORTER_OTLP_INSECURE: "1" }, true],
  ];
  for (const [given, expected] of cases) {
    assert.equal(isEncrypted(variables(given), "TRACES"), expected, JSON.stringify(given));
  }
});

Deno.test("canEncrypt() is false for runtimes that can't encrypt gRPC", () => {
  const grpc = variables({ OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" });
  for (
    const [deno, expected] of [["2.7.11", false], ["1.46.3", false], ["2.8.0", true], ["2.10.1", true], [
      "3.0.0",
      true,
    ]] as const
  ) {
    assert.equal(canEncrypt(grpc, "LOGS", deno), expected, deno);
    assert.equal(canEncrypt(variables({ OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" }), "LOGS", deno), true);
  }
});
