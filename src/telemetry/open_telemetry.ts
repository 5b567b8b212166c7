/**
 * OpenTelemetry, configured by the standard `OTEL_*` variables alone and flushed at shutdown.
 *
 * Without an `OTEL_EXPORTER_OTLP_*` endpoint the SDK is not even loaded: nothing is exported, nothing is retried in the
 * background, and the instruments cost next to nothing.
 */

export interface Telemetry {
  /** Exports what is left; never rejects, and is over after `boundMs`. */
  shutdown(boundMs: number): Promise<void>;
}

export interface Resource {
  readonly serviceVersion: string;
  readonly instanceId: string;
  readonly environment: string;
}

const SIGNALS = ["TRACES", "METRICS", "LOGS"] as const;

/**
 * @param environment the process's variables; for a signal without an endpoint its exporter is set to `none` there
 */
export async function startTelemetry(
  environment: { get(name: string): string | undefined; set(name: string, value: string): void },
  resource: Resource,
): Promise<Telemetry> {
  const isSet = (name: string) => (environment.get(name) ?? "").trim() !== "";
  const disabled = environment.get("OTEL_SDK_DISABLED")?.trim().toLowerCase() === "true";
  const wanted = SIGNALS.filter((signal) =>
    isSet("OTEL_EXPORTER_OTLP_ENDPOINT") || isSet(`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`)
  );
  if (disabled || wanted.length === 0) return { shutdown: () => Promise.resolve() };

  for (const signal of SIGNALS) {
    if (!wanted.includes(signal)) environment.set(`OTEL_${signal}_EXPORTER`, "none");
  }
  // Logs go to standard output; their export is asked for by name.
  if (!isSet("OTEL_LOGS_EXPORTER")) environment.set("OTEL_LOGS_EXPORTER", "none");
  if (!isSet("OTEL_SERVICE_NAME")) environment.set("OTEL_SERVICE_NAME", "notification-service");
  environment.set(
    "OTEL_RESOURCE_ATTRIBUTES",
    resourceAttributes(environment.get("OTEL_RESOURCE_ATTRIBUTES"), resource),
  );

  const { NodeSDK } = await import("@opentelemetry/sdk-node");
  const sdk = new NodeSDK({ autoDetectResources: true, instrumentations: [] });
  sdk.start();
  return {
    async shutdown(boundMs) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const bound = new Promise<void>((resolve) => timer = setTimeout(resolve, boundMs));
      // A collector that can't be reached must not keep the process from ending.
      await Promise.race([sdk.shutdown().catch(() => {}), bound]);
      clearTimeout(timer);
    },
  };
}

/** The last of a name wins: the operator's word, save that the instance has one id everywhere ({@link instanceIdOf}). */
function resourceAttributes(given: string | undefined, resource: Resource): string {
  const pair = (name: string, value: string) => `${name}=${encodeURIComponent(value)}`;
  const pairs = [pair("service.version", resource.serviceVersion)];
  if (resource.environment !== "") pairs.push(pair("deployment.environment.name", resource.environment));
  if ((given ?? "").trim() !== "") pairs.push(given!.trim());
  pairs.push(pair("service.instance.id", resource.instanceId));
  return pairs.join(",");
}

/** The last `service.instance.id` that the operator gave in `OTEL_RESOURCE_ATTRIBUTES`, else a random UUID. */
export function instanceIdOf(attributes: string | undefined): string {
  for (const pair of (attributes ?? "").split(",").reverse()) {
    const [name, ...value] = pair.split("=");
    if (name?.trim() === "service.instance.id" && value.join("=").trim() !== "") {
      try {
        return decodeURIComponent(value.join("=").trim());
      } catch {
        return value.join("=").trim();
      }
    }
  }
  return crypto.randomUUID();
}
