/** The instance's id, and that nothing is started without an endpoint. */
import assert from "node:assert/strict";
import { metrics, trace } from "@opentelemetry/api";
import { identityOf, startTelemetry } from "./open_telemetry.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

Deno.test("identityOf() returns the operator's id", () => {
  const examples: [attributes: string, id: string][] = [
    ["service.instance.id=a", "a"],
    ["deployment.environment.name=x, service.instance.id = a-1 ,team=b", "a-1"],
    ["service.instance.id=a%2Cb%3Dc", "a,b=c"],
    ["service.instance.id=100%", "100%"],
    ["service.instance.id=first,service.instance.id=last", "last"],
  ];
  for (const [attributes, id] of examples) assert.equal(identityOf(attributes).instanceId, id);
});

Deno.test("identityOf() returns a random UUID if there is none", () => {
  for (
    const attributes of [
      undefined,
      "",
      "service.instance.id=",
      "service.instance.id",
      "service.instance.idx=a",
      "x=service.instance.id=a",
    ]
  ) {
    assert.match(identityOf(attributes).instanceId, UUID, `${attributes}`);
  }
  assert.notEqual(identityOf(undefined).instanceId, identityOf(undefined).instanceId);
});

Deno.test("identityOf() returns another process id in each process, even if they share an instance id", () => {
  const [first, second] = [identityOf("service.instance.id=fleet"), identityOf("service.instance.id=fleet")];
  assert.equal(first.instanceId, second.instanceId);
  assert.notEqual(first.processId, second.processId);
  assert.match(first.processId, /^fleet\/[0-9a-f]{8}$/);
  const random = identityOf(undefined);
  assert.equal(random.processId, random.instanceId);
});

Deno.test("startTelemetry() starts nothing without an endpoint, or if it is switched off", async () => {
  const endpoint = "http://127.0.0.1:4318";
  const environments: Record<string, string>[] = [
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: " ", OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "" },
    { OTEL_SERVICE_NAME: "x", OTEL_TRACES_EXPORTER: "otlp", OTEL_EXPORTER_OTLP_HEADERS: "a=b" },
    { OTEL_SDK_DISABLED: "true", OTEL_EXPORTER_OTLP_ENDPOINT: endpoint },
    { OTEL_SDK_DISABLED: " TRUE ", OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: endpoint },
  ];
  const before = metrics.getMeterProvider();
  for (const variables of environments) {
    const telemetry = await startTelemetry(
      { get: (name) => variables[name], set: (name) => assert.fail(`${name} was set`) },
      { serviceVersion: "1.2.3", instanceId: "i", environment: "test" },
    );
    assert.equal(metrics.getMeterProvider(), before);
    assert.equal(trace.getTracer("t").startSpan("s").isRecording(), false);
    await telemetry.shutdown(0);
  }
});
