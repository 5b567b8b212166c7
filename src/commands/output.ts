/** Standard output, whose reader may end: `… | head -1`, or a terminal that is closed. */

/** The reader has ended: this ends the command, which has then printed all that was wanted. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

const PAUSE_MS = 5;
const pause = new Int32Array(new SharedArrayBuffer(4));

/** Returns when all of it is written. @throws OutputClosed */
export function write(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) {
    try {
      at += Deno.stdout.writeSync(bytes.subarray(at));
    } catch (error) {
      // A pipe that another process has set to non-blocking is full.
      if (error instanceof Deno.errors.WouldBlock) Atomics.wait(pause, 0, 0, PAUSE_MS);
      else throw new OutputClosed("Standard output is closed", { cause: error });
    }
  }
}
