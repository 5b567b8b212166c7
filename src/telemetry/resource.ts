/**
 * The service's own attributes and the standard variables → the attributes of everything that is exported.
 *
 * The operator's attributes win, except that the instance has one id everywhere. As OpenTelemetry specifies, one
 * unreadable pair in `OTEL_RESOURCE_ATTRIBUTES` invalidates all pairs there; the service's own attributes remain.
 */
import {
  envDetector,
  hostDetector,
  osDetector,
  processDetector,
  type ResourceDetector,
} from "@opentelemetry/resources";
import type { Variables } from "./variables.ts";

export interface Resource {
  readonly serviceVersion: string;
  readonly instanceId: string;
  readonly environment: string;
}

/** By their names in `OTEL_NODE_RESOURCE_DETECTORS`, with which an operator can select some of them. */
const SURROUNDINGS: Readonly<Record<string, ResourceDetector>> = {
  host: hostDetector,
  os: osDetector,
  process: processDetector,
};

/** The last detector that sets an attribute wins. */
export function resourceDetectors(variables: Variables, resource: Resource): ResourceDetector[] {
  const wanted = (variables.get("OTEL_NODE_RESOURCE_DETECTORS") ?? "").split(",").map((name) => name.trim());
  const isWanted = (name: string) => wanted.join("") === "" || wanted.includes("all") || wanted.includes(name);
  const known = (attributes: Readonly<Record<string, string>>) => ({ detect: () => ({ attributes }) });
  return [
    ...Object.entries(SURROUNDINGS).filter(([name]) => isWanted(name)).map(([, detector]) => detector),
    known({
      "service.name": "notification-service",
      "service.version": resource.serviceVersion,
      // The SDK detects Node.js, as which Deno behaves.
      "process.runtime.name": "deno",
      "process.runtime.version": Deno.version.deno,
      "process.runtime.description": "Deno",
      ...(resource.environment === "" ? {} : { "deployment.environment.name": resource.environment }),
    }),
    envDetector,
    known({ "service.instance.id": resource.instanceId }),
  ];
}
