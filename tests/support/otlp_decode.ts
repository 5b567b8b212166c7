/**
 * The bytes of an OTLP export request (protobuf, or OTLP's JSON) → its content as flat objects.
 *
 * Protobuf is decoded by the definitions in a package of OpenTelemetry, not by our own; ids are hexadecimal, numbers
 * are numbers.
 */
import { Buffer } from "node:buffer";
import definitions from "otlp-definitions";

type Attributes = Readonly<Record<string, unknown>>;

interface Emitted {
  /** The instrumentation scope's name. */
  readonly scope: string;
  readonly resource: Attributes;
}

export interface ReceivedSpan extends Emitted {
  readonly name: string;
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string;
  readonly attributes: Attributes;
  /** Code 2 is an error. */
  readonly status: { readonly code: number; readonly message: string };
  readonly durationMs: number;
}

export interface ReceivedLog extends Emitted {
  readonly timeMs: number;
  readonly severity: string;
  readonly body: unknown;
  readonly traceId: string;
  readonly spanId: string;
  readonly attributes: Attributes;
}

export interface Point {
  readonly attributes: Attributes;
  /** The value of a histogram is its sum. */
  readonly value: number;
  readonly count?: number;
  readonly bounds?: readonly number[];
}

export interface ReceivedMetric extends Emitted {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
  readonly kind: "counter" | "gauge" | "histogram" | "other";
  readonly points: readonly Point[];
}

/** A message; each member is a message, a list of messages, or a plain value. */
export interface Raw {
  readonly [member: string]: Raw | undefined;
}
interface Message {
  decode(bytes: Uint8Array): unknown;
  toObject(message: unknown, options: { longs: typeof Number; enums: typeof Number }): Raw;
}
interface Definitions {
  opentelemetry: {
    proto: {
      collector: {
        trace: { v1: { ExportTraceServiceRequest: Message } };
        metrics: { v1: { ExportMetricsServiceRequest: Message } };
        logs: { v1: { ExportLogsServiceRequest: Message } };
      };
    };
  };
}

const { collector } = (definitions as unknown as Definitions).opentelemetry.proto;
const REQUESTS = {
  traces: collector.trace.v1.ExportTraceServiceRequest,
  metrics: collector.metrics.v1.ExportMetricsServiceRequest,
  logs: collector.logs.v1.ExportLogsServiceRequest,
};
export type Signal = keyof typeof REQUESTS;
export const SIGNALS = Object.keys(REQUESTS) as Signal[];

export function decodeProtobuf(signal: Signal, bytes: Uint8Array): Raw {
  const request = REQUESTS[signal];
  return request.toObject(request.decode(bytes), { longs: Number, enums: Number });
}

export function spansOf(request: Raw): ReceivedSpan[] {
  return emittedOf(request, ["resourceSpans", "scopeSpans", "spans"], (span, emitted) => ({
    ...emitted,
    name: text(span["name"]),
    kind: Number(span["kind"]),
    traceId: id(span["traceId"]),
    spanId: id(span["spanId"]),
    parentSpanId: id(span["parentSpanId"]),
    attributes: attributesOf(span["attributes"]),
    status: { code: Number(span["status"]?.["code"] ?? 0), message: text(span["status"]?.["message"]) },
    durationMs: (Number(span["endTimeUnixNano"]) - Number(span["startTimeUnixNano"])) / 1e6,
  }));
}

export function logsOf(request: Raw): ReceivedLog[] {
  return emittedOf(request, ["resourceLogs", "scopeLogs", "logRecords"], (record, emitted) => ({
    ...emitted,
    timeMs: Number(record["timeUnixNano"]) / 1e6,
    severity: text(record["severityText"]),
    body: valueOf(record["body"]),
    traceId: id(record["traceId"]),
    spanId: id(record["spanId"]),
    attributes: attributesOf(record["attributes"]),
  }));
}

export function metricsOf(request: Raw): ReceivedMetric[] {
  return emittedOf(request, ["resourceMetrics", "scopeMetrics", "metrics"], (metric, emitted) => {
    const data = metric["sum"] ?? metric["gauge"] ?? metric["histogram"];
    const isCounter = Boolean(metric["sum"]?.["isMonotonic"]);
    return {
      ...emitted,
      name: text(metric["name"]),
      unit: text(metric["unit"]),
      description: text(metric["description"]),
      kind: isCounter ? "counter" : metric["gauge"] ? "gauge" : metric["histogram"] ? "histogram" : "other",
      points: list(data, "dataPoints").map((point) => ({
        attributes: attributesOf(point["attributes"]),
        value: Number(point["asInt"] ?? point["asDouble"] ?? point["sum"] ?? 0),
        ...(metric["histogram"]
          ? { count: Number(point["count"]), bounds: list(point, "explicitBounds").map(Number) }
          : {}),
      })),
    };
  });
}

/** Every item on the third level of lists, with the attributes of the levels above. */
function emittedOf<Item>(
  request: Raw,
  [resources, scopes, items]: readonly [string, string, string],
  make: (item: Raw, emitted: Emitted) => Item,
): Item[] {
  return list(request, resources).flatMap((resource) =>
    list(resource, scopes).flatMap((scope) => {
      const emitted = {
        scope: text(scope["scope"]?.["name"]),
        resource: attributesOf(resource["resource"]?.["attributes"]),
      };
      return list(scope, items).map((item) => make(item, emitted));
    })
  );
}

function attributesOf(pairs: Raw | undefined): Attributes {
  return Object.fromEntries(
    ((pairs ?? []) as unknown as readonly Raw[]).map((pair) => [text(pair["key"]), valueOf(pair["value"])]),
  );
}

function valueOf(value: Raw | undefined): unknown {
  if (value === undefined) return undefined;
  if (value["intValue"] !== undefined) return Number(value["intValue"]);
  if (value["arrayValue"] !== undefined) return list(value["arrayValue"], "values").map(valueOf);
  return value["stringValue"] ?? value["boolValue"] ?? value["doubleValue"] ?? value;
}

function list(owner: Raw | undefined, name: string): readonly Raw[] {
  return (owner?.[name] ?? []) as unknown as readonly Raw[];
}

function text(value: Raw | undefined): string {
  return value === undefined ? "" : String(value);
}

/** Bytes in protobuf, hexadecimal digits in JSON. */
function id(value: Raw | undefined): string {
  const bytesOrText: unknown = value ?? "";
  return typeof bytesOrText === "string" ? bytesOrText : Buffer.from(bytesOrText as Uint8Array).toString("hex");
}
