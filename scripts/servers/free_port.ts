/**
 * Nothing → a TCP port on 127.0.0.1 that is not in use at this moment. Ports come from below the range the system
 * takes for outgoing connections (32768 and up on Linux, 49152 on macOS). A client that retries against a stopped
 * server's port can otherwise be given that very port as its own, connect to itself, and keep the server from coming
 * back.
 */

const LOWEST = 15_000;
const HIGHEST = 32_000;

/** Returns a port that was free a moment ago. Another process may take it first: callers retry with another one. */
export function freePort(): number {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    if (isFree(port)) return port;
  }
  throw new Error(`No free port found between ${LOWEST} and ${HIGHEST}`);
}

export function isFree(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return true;
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    return false;
  }
}
