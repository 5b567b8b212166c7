/**
 * The probe listener: `GET` or `HEAD` of `/healthz` and `/readyz`, and nothing else. docs/contract.md, section 8.
 *
 * Both answers are only about this process. The listener opens when the start-up has succeeded; an outage of a
 * dependency is no reason to remove the instance, because it resumes by itself.
 */
import { within } from "../lifecycle/bounded_wait.ts";
import { loggerOf } from "../telemetry/logger.ts";

export interface ProbeListener {
  readonly hostname: string;
  readonly port: number;
  /** Stops listening; open requests may finish within `boundMs`. */
  close(boundMs: number): Promise<void>;
}

const ANSWERS: Readonly<Record<string, string>> = {
  "/healthz": '{"status":"ok"}',
  "/readyz": '{"status":"ready"}',
};

/**
 * Listens on all interfaces if the hostname is empty.
 *
 * @throws when the address is in use or does not belong to this machine
 */
export function openProbe({ hostname, port }: { readonly hostname: string; readonly port: number }): ProbeListener {
  const logger = loggerOf("internal_http");
  const server = onAddress(hostname, (hostname) => Deno.serve({ hostname, port, onListen: () => {} }, answer));
  const address = { hostname: server.addr.hostname, port: server.addr.port };
  logger.info("started", address);
  return {
    ...address,
    async close(boundMs) {
      await within(boundMs, server.shutdown());
      logger.info("stopped");
    },
  };
}

/** Tries the address without answering requests. @throws as openProbe() */
export function tryProbeAddress({ hostname, port }: { readonly hostname: string; readonly port: number }): void {
  onAddress(hostname, (hostname) => Deno.listen({ hostname, port })).close();
}

function onAddress<Listener>(hostname: string, listenOn: (hostname: string) => Listener): Listener {
  if (hostname !== "") return listenOn(hostname);
  try {
    // Also accepts IPv4 connections.
    return listenOn("::");
  } catch (error) {
    // A kernel without IPv6 has no such sockets.
    const isWithoutIpv6 = ["EAFNOSUPPORT", "EADDRNOTAVAIL"].includes((error as { code?: string }).code ?? "");
    if (!isWithoutIpv6) throw error;
    return listenOn("0.0.0.0");
  }
}

function answer(request: Request): Response {
  const url = URL.parse(request.url);
  // The Host header is invalid.
  if (url === null) return respond(400, '{"error":"bad_request"}');
  const body = ANSWERS[url.pathname];
  if (body === undefined) return respond(404, '{"error":"not_found"}');
  if (request.method !== "GET" && request.method !== "HEAD") {
    return respond(405, '{"error":"method_not_allowed"}', { allow: "GET, HEAD" });
  }
  return respond(200, body);
}

function respond(status: number, body: string, headers: Record<string, string> = {}): Response {
  return new Response(body, { status, headers: { "content-type": "application/json", ...headers } });
}
