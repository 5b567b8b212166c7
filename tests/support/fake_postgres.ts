/**
 * Optionally a way in which connecting fails → a socket for pg's client that behaves like PostgreSQL until the test
 * destroys it.
 *
 * No network; every statement is answered with one row, `pid` 1, until the socket is made mute.
 */
import { Buffer } from "node:buffer";
import { Duplex } from "node:stream";

export interface FakePostgresOptions {
  /** The error with which the runtime rejects the attempt to connect. */
  readonly connectFails?: Error;
  /** The fields of an ErrorResponse to the start of the session, by their letters. */
  readonly startFails?: Readonly<Record<string, string>>;
}

export class FakePostgresSocket extends Duplex {
  /** While set, statements get no answer. */
  isMute = false;
  /** Everything that pg sent, as Latin-1. */
  sent = "";
  readonly #options: FakePostgresOptions;
  #isStarted = false;

  constructor(options: FakePostgresOptions = {}) {
    super();
    this.#options = options;
  }

  connect(): this {
    const { connectFails } = this.#options;
    queueMicrotask(() => connectFails === undefined ? this.emit("connect") : this.destroy(connectFails));
    return this;
  }

  /** The methods of a node socket that pg calls. */
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: string, done: () => void): void {
    const bytes = Buffer.from(chunk);
    this.sent += bytes.toString("latin1");
    if (!this.#isStarted) {
      this.#isStarted = true;
      const { startFails } = this.#options;
      this.push(startFails === undefined ? STARTED : errorResponse(startFails));
    } else if (!this.isMute) {
      for (const type of messageTypes(bytes)) {
        if (type === "S") queueMicrotask(() => this.push(ANSWER));
        if (type === "Q") queueMicrotask(() => this.push(RESULT));
      }
    }
    done();
  }

  override _final(done: () => void): void {
    this.push(null);
    done();
  }
}

function message(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

function errorResponse(fields: Readonly<Record<string, string>>): Buffer {
  const body = Object.entries(fields).map(([letter, value]) => `${letter}${value}\0`).join("");
  return message("E", Buffer.from(`${body}\0`));
}

const READY = message("Z", Buffer.from("I"));
/** AuthenticationOk, BackendKeyData of process 1, ReadyForQuery */
const STARTED = Buffer.concat([
  message("R", Buffer.from([0, 0, 0, 0])),
  message("K", Buffer.from([0, 0, 0, 1, 0, 0, 0, 0])),
  READY,
]);
/** The answer to Query. */
const RESULT = Buffer.concat([
  // RowDescription: one column, of type int4, as text; DataRow.
  message("T", Buffer.from("\0\x01pid\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0", "latin1")),
  message("D", Buffer.from("\0\x01\0\0\0\x011")),
  message("C", Buffer.from("SELECT 1\0")),
  READY,
]);
/** The answer to Parse, Bind, Describe, Execute and Sync. */
const ANSWER = Buffer.concat([message("1", Buffer.alloc(0)), message("2", Buffer.alloc(0)), RESULT]);

function* messageTypes(bytes: Buffer): Iterable<string> {
  for (let at = 0; at + 5 <= bytes.length; at += 1 + bytes.readInt32BE(at + 1)) yield String.fromCharCode(bytes[at]!);
}
