/**
 * Nothing → a TCP port on 127.0.0.1 that is not in use now. It is below the range that the system uses for outgoing
 * connections (from 32768 on Linux, from 49152 on macOS). Otherwise a client that tries to connect to a stopped server
 * could get the server's port as its own, connect to itself, and so keep the server from starting again.
 */

const LOWEST = 15_000;
const HIGHEST = 32_000;

/**
 * Returns a port that was just free. Another process may still use it first, so callers have to retry with another
 * port.
 */
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
