/**
 * A workaround for Deno 2.7: an agent of `node:http` that keeps connections treats a connection as free although its
 * answer said `Connection: close`, and then holds the socket with its read buffer forever: 90 kB for each export
 * (seen). Deno 2.9 releases it.
 */
import { Agent, type ClientRequest, type IncomingMessage } from "node:http";

interface Adding {
  keepAlive: boolean;
  addRequest(request: ClientRequest, ...rest: unknown[]): void;
}

let isDone = false;

/**
 * From now on an agent whose server closed a connection keeps no connections: for all agents of the process, also of
 * `https`.
 */
export function keepNoClosedConnections(): void {
  if (isDone) return;
  isDone = true;
  const prototype = Agent.prototype as unknown as Adding;
  const { addRequest } = prototype;
  prototype.addRequest = function (request, ...rest) {
    request.once("response", (response: IncomingMessage) => {
      if (response.headers.connection?.toLowerCase() === "close") this.keepAlive = false;
    });
    return addRequest.call(this, request, ...rest);
  };
}
