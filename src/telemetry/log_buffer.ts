/**
 * Log lines → an output, many lines per write. A loop never waits for it.
 *
 * The buffer is bounded: while the output is blocked, `info` lines are dropped first, then the others, and a line
 * reports how many. The caller bounds `flush`, which gives a blocked output up earlier.
 */
import { Buffer } from "node:buffer";
import { after } from "../clock.ts";
import { within } from "../lifecycle/bounded_wait.ts";

export interface LogOutput {
  write(bytes: Uint8Array): Promise<number>;
}

const MAX_BYTES = 8 * 1024 * 1024;
/** The space that is reserved for lines above `info`. */
const RESERVED_BYTES = 1024 * 1024;
/**
 * This is also the largest write: a pipe accepts a write as a whole, and a slow reader must be distinguished from a
 * blocked one.
 */
const WRITE_AT_BYTES = 64 * 1024;
const WRITE_AFTER_MS = 25;
/** At the end of the process, an output that accepts nothing for this long counts as blocked. */
const BLOCKED_AFTER_MS = 250;

export class LogBuffer {
  readonly #output: LogOutput;
  readonly #droppedLine: (dropped: number) => string;
  readonly #encoder = new TextEncoder();
  #lines: string[] = [];
  /** Bytes in `#lines`. */
  #size = 0;
  #inFlight = 0;
  #dropped = 0;
  #cancelWrite: (() => void) | undefined;
  #writing: Promise<void> | undefined;
  #onTaken = () => {};

  /** @param droppedLine returns the line that reports how many lines were dropped */
  constructor(output: LogOutput, droppedLine: (dropped: number) => string) {
    this.#output = output;
    this.#droppedLine = droppedLine;
  }

  /** Adds a line with its line break. */
  add(line: string, { important }: { readonly important: boolean }): void {
    const limit = important ? MAX_BYTES : MAX_BYTES - RESERVED_BYTES;
    const bytes = Buffer.byteLength(line);
    if (this.#size + this.#inFlight + bytes > limit) {
      this.#dropped++;
      return;
    }
    this.#lines.push(line);
    this.#size += bytes;
    if (this.#size >= WRITE_AT_BYTES && this.#writing === undefined) this.#write();
    else this.#cancelWrite ??= after(WRITE_AFTER_MS, () => this.#write());
  }

  /** Resolves when everything added so far is written, when `boundMs` have passed, or when the output is blocked. */
  async flush(boundMs: number): Promise<void> {
    const { promise: blocked, resolve } = Promise.withResolvers<void>();
    let cancel = after(BLOCKED_AFTER_MS, resolve);
    this.#onTaken = () => {
      cancel();
      cancel = after(BLOCKED_AFTER_MS, resolve);
    };
    const drained = async () => {
      while (this.#size > 0 || this.#dropped > 0 || this.#writing) await this.#write();
    };
    await within(boundMs, Promise.race([drained(), blocked]));
    this.#onTaken = () => {};
    cancel();
  }

  #write(): Promise<void> {
    return this.#writing ??= this.#writeAll().finally(() => this.#writing = undefined);
  }

  async #writeAll(): Promise<void> {
    while (this.#size > 0 || this.#dropped > 0) {
      this.#cancelWrite?.();
      this.#cancelWrite = undefined;
      if (this.#dropped > 0) this.#lines.push(this.#droppedLine(this.#dropped));
      this.#dropped = 0;
      const bytes = this.#encoder.encode(this.#lines.join(""));
      this.#lines = [];
      this.#inFlight = bytes.length;
      this.#size = 0;
      try {
        for (let at = 0; at < bytes.length;) {
          at += await this.#output.write(bytes.subarray(at, at + WRITE_AT_BYTES));
          this.#onTaken();
        }
      } catch {
        // The reader of the output has gone, and there is no other place to report it.
      }
      this.#inFlight = 0;
    }
  }
}
