/**
 * A protocol → a small OpenTelemetry collector that decodes and keeps every export.
 *
 * Every request is answered with success, unless the test sets another answer; disposing of it closes the port.
 */
import { Buffer } from "node:buffer";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";
import { Server, ServerCredentials, type UntypedHandleCall } from "@grpc/grpc-js";
import {
  decodeProtobuf,
  logsOf,
  metricsOf,
  type Point,
  type Raw,
  type ReceivedLog,
  type ReceivedMetric,
  type ReceivedSpan,
  type Signal,
  SIGNALS,
  spansOf,
} from "./otlp_decode.ts";
import { eventually } from "./wait.ts";

/** Paths of PEM files. */
export interface ReceiverTls {
  readonly certificate: string;
  readonly key: string;
  /** The authority of the allowed clients; without one, every client is allowed. */
  readonly clients?: string;
  /** Any free one without it. */
  readonly port?: number;
}

export type Protocol = "http/protobuf" | "http/json" | "grpc";

export class OtlpReceiver implements AsyncDisposable {
  readonly protocol: Protocol;
  readonly spans: ReceivedSpan[] = [];
  readonly logs: ReceivedLog[] = [];
  /** One list for each export. */
  readonly metricExports: (readonly ReceivedMetric[])[] = [];
  /** `<signal> <content type>` of every request. */
  readonly requests: string[] = [];
  /** Every export as text, to search for text that should not be in it. */
  readonly texts: string[] = [];
  #endpoint = "";
  #close: () => Promise<void> = () => Promise.resolve();

  private constructor(protocol: Protocol) {
    this.protocol = protocol;
  }

  static async start(protocol: Protocol = "http/protobuf", tls?: ReceiverTls): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver(protocol);
    if (protocol === "grpc") await receiver.#listenGrpc(tls);
    else if (tls !== undefined) await receiver.#listenHttps(tls);
    else receiver.#listenHttp();
    return receiver;
  }

  /** The variables with which a service exports all signals to it, several times a second. */
  get env(): Readonly<Record<string, string>> {
    return {
      OTEL_EXPORTER_OTLP_ENDPOINT: this.#endpoint,
      OTEL_EXPORTER_OTLP_PROTOCOL: this.protocol,
      OTEL_LOGS_EXPORTER: "otlp",
      OTEL_METRIC_EXPORT_INTERVAL: "250",
      OTEL_METRIC_EXPORT_TIMEOUT: "250",
      OTEL_BSP_SCHEDULE_DELAY: "100",
      OTEL_BLRP_SCHEDULE_DELAY: "100",
    };
  }

  /** The metric in the last export. */
  metric(name: string): ReceivedMetric | undefined {
    return this.metricExports.at(-1)?.find((metric) => metric.name === name);
  }

  /** The point of that metric with exactly these attributes, in the last export. */
  point(name: string, attributes: Readonly<Record<string, unknown>> = {}): Point | undefined {
    const wanted = JSON.stringify(Object.entries(attributes).sort());
    return this.metric(name)?.points.find((point) =>
      JSON.stringify(Object.entries(point.attributes).sort()) === wanted
    );
  }

  /** Returns when an export that began after this call has arrived. */
  async nextExport(): Promise<readonly ReceivedMetric[]> {
    const seen = this.metricExports.length;
    return await eventually(() => this.metricExports.length >= seen + 2 ? this.metricExports.at(-1) : undefined);
  }

  spansNamed(name: string): ReceivedSpan[] {
    return this.spans.filter((span) => span.name === name);
  }

  /** Returns the wanted spans once there are `count` of them. */
  async untilSpans(count: number, isWanted: (span: ReceivedSpan) => boolean): Promise<ReceivedSpan[]> {
    return await eventually(() => {
      const found = this.spans.filter(isWanted);
      return found.length >= count ? found : undefined;
    }, { message: () => `${count} spans did not come, only ${JSON.stringify(this.spans)}` });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#close();
  }

  #take(signal: Signal, request: Raw): void {
    this.texts.push(JSON.stringify(request));
    if (signal === "traces") this.spans.push(...spansOf(request));
    else if (signal === "logs") this.logs.push(...logsOf(request));
    else this.metricExports.push(metricsOf(request));
  }

  #listenHttp(): void {
    const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      const contentType = request.headers.get("content-type") ?? "";
      const isJson = this.#takeRequest(new URL(request.url).pathname, {
        contentType,
        encoding: request.headers.get("content-encoding"),
        sent: new Uint8Array(await request.arrayBuffer()),
      });
      return new Response(isJson ? "{}" : new Uint8Array(), { headers: { "content-type": contentType } });
    });
    this.#endpoint = `http://127.0.0.1:${server.addr.port}`;
    this.#close = () => server.shutdown();
  }

  /** Uses node:https, because Deno's own server can't ask a client for a certificate. */
  async #listenHttps(tls: ReceiverTls): Promise<void> {
    const { ca, cert, key } = await filesOf(tls);
    const clients = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true };
    const server = https.createServer({ cert, key, ...clients }, async (request, response) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of request) chunks.push(chunk);
      const contentType = request.headers["content-type"] ?? "";
      const encoding = request.headers["content-encoding"] ?? null;
      const isJson = this.#takeRequest(request.url ?? "", { contentType, encoding, sent: Buffer.concat(chunks) });
      response.writeHead(200, { "content-type": contentType }).end(isJson ? "{}" : "");
    });
    server.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => server.listen(tls.port ?? 0, "127.0.0.1", resolve));
    this.#endpoint = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.#close = async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    };
  }

  /** Whether it was JSON. */
  #takeRequest(
    path: string,
    { contentType, encoding, sent }: { contentType: string; encoding: string | null; sent: Uint8Array },
  ): boolean {
    const signal = path.slice("/v1/".length) as Signal;
    this.requests.push(`${signal} ${contentType}`);
    const bytes = encoding === "gzip" ? gunzipSync(sent) : sent;
    const isJson = contentType.startsWith("application/json");
    this.#take(signal, isJson ? JSON.parse(new TextDecoder().decode(bytes)) : decodeProtobuf(signal, bytes));
    return isJson;
  }

  async #listenGrpc(tls: ReceiverTls | undefined): Promise<void> {
    const server = new Server();
    for (const signal of SIGNALS) {
      const name = { traces: "trace.v1.Trace", metrics: "metrics.v1.Metrics", logs: "logs.v1.Logs" }[signal];
      const take: UntypedHandleCall = (
        call: { request: Raw },
        answer: (error: null, reply: object) => void,
      ) => {
        this.requests.push(`${signal} grpc`);
        this.#take(signal, call.request);
        answer(null, {});
      };
      server.addService({
        Export: {
          path: `/opentelemetry.proto.collector.${name}Service/Export`,
          requestStream: false,
          responseStream: false,
          requestSerialize: () => Buffer.alloc(0),
          requestDeserialize: (bytes: Buffer) => decodeProtobuf(signal, bytes),
          responseSerialize: () => Buffer.alloc(0),
          responseDeserialize: () => ({}),
        },
      }, { Export: take });
    }
    const files = tls === undefined ? undefined : await filesOf(tls);
    const credentials = files === undefined ? ServerCredentials.createInsecure() : ServerCredentials.createSsl(
      files.ca ?? null,
      [{ cert_chain: files.cert, private_key: files.key }],
      files.ca !== undefined,
    );
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync(
        `127.0.0.1:${tls?.port ?? 0}`,
        credentials,
        (error, bound) => error === null ? resolve(bound) : reject(error),
      )
    );
    // Over TLS gRPC's client does not accept an IP address here.
    this.#endpoint = tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`;
    this.#close = () => new Promise((resolve) => server.tryShutdown(() => resolve()));
  }
}

async function filesOf({ certificate, key, clients }: ReceiverTls) {
  const read = async (path: string) => Buffer.from(await Deno.readFile(path));
  return {
    cert: await read(certificate),
    key: await read(key),
    ca: clients === undefined ? undefined : await read(clients),
  };
}
