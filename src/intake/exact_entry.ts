/**
 * An entry's id → the entry with its exact bytes, read in pieces, so that the process holds only a few megabytes of it
 * at a time.
 *
 * Used for an entry with bytes that are not UTF-8, and for one of more than 1 MiB. Of a value that is too long to be
 * valid, only its beginning, its length and its SHA-256 are kept.
 */
import { createHash, type Hash } from "node:crypto";
import { Buffer } from "node:buffer";
import { KNOWN_FIELDS } from "../notification/intent_fields.ts";
import { MAX_KEPT_BYTES, MAX_VALUE_BYTES } from "../notification/raw_fields.ts";
import type { FieldValue, StreamEntry } from "../notification/stream_entry.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { unreadableAsOutage } from "./read_batch.ts";

/**
 * Each piece costs Redis a copy of the whole entry, and this process a copy of the piece. Small enough for an
 * operator's `client-output-buffer-limit`: with 16 MiB and a limit of 8, Redis closed the connection at each try.
 */
const PIECE_BYTES = 4 * 1024 * 1024;
/** 10,000 ids of 128 four-byte characters, each escaped as twelve: no valid recipient list is longer. */
const MAX_RECIPIENTS_BYTES = 16 * 1024 * 1024;

// Returns the number of names and values, whether the last piece ends its value, and the pieces.
const READ_PIECES = new Script(`
#!lua flags=no-writes
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if #found == 0 then return {} end
local values, at, offset, room = found[1][2], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local pieces, complete = {}, 1
while at <= #values and room > 0 do
  local piece = string.sub(values[at], offset + 1, offset + room)
  pieces[#pieces + 1] = piece
  complete = offset + #piece == #values[at] and 1 or 0
  room = room - #piece - 16
  at, offset = at + 1, 0
end
return { #values, complete, pieces }
`);

/** The entry; `undefined` if it was deleted meanwhile. */
export async function readExactEntry(
  redis: RedisConnection,
  { stream, id }: { stream: string; id: string },
): Promise<StreamEntry | undefined> {
  const collector = new FieldCollector();
  let at = 1;
  let offset = 0;
  while (true) {
    const reply = await unreadableAsOutage(
      () => redis.runBuffer(READ_PIECES, [stream], [id, at, offset, PIECE_BYTES]),
    );
    const [count, complete, pieces] = reply as [number, number, Buffer[]] | [undefined, undefined, undefined];
    if (count === undefined) return undefined;
    for (const [index, piece] of pieces.entries()) {
      const ends = index < pieces.length - 1 || complete === 1;
      collector.add(piece, ends);
      offset = ends ? 0 : offset + piece.length;
      if (ends) at++;
    }
    if (at > count) return collector.entry(id);
  }
}

/**
 * Pieces in order → fields. The first occurrence of a known field is kept up to the longest valid value; the second is
 * kept so that the repetition is noticed; everything else only as far as it will be recorded.
 */
class FieldCollector {
  readonly #fields: FieldValue[] = [];
  #room = MAX_KEPT_BYTES;
  /** How many fields with each known name were seen. */
  readonly #counts = new Map<string, number>();
  #omittedFields = 0;
  #omittedBytes = 0;
  /** The name whose value comes next. */
  #name: FieldValue | undefined;
  /** 1 if it is the first field of its known name, 2 if the second, and so on; 0 if the name is not known. */
  #occurrence = 0;
  #value: ValueCollector | undefined;

  add(piece: Buffer, ends: boolean): void {
    this.#value ??= new ValueCollector(this.#limit());
    this.#value.add(piece);
    if (!ends) return;
    const value = this.#value;
    this.#value = undefined;
    if (this.#name === undefined) {
      this.#name = value.result();
      this.#occurrence = this.#countedAs(this.#name);
      return;
    }
    this.#take(this.#name, value);
    this.#name = undefined;
  }

  entry(id: string): StreamEntry {
    if (this.#omittedFields === 0) return { id, fields: this.#fields };
    return { id, fields: this.#fields, omitted: { fields: this.#omittedFields, bytes: this.#omittedBytes } };
  }

  #countedAs(name: FieldValue): number {
    if (typeof name !== "string" || !KNOWN_FIELDS.has(name)) return 0;
    const count = (this.#counts.get(name) ?? 0) + 1;
    this.#counts.set(name, count);
    return count;
  }

  #take(name: FieldValue, value: ValueCollector): void {
    const isNeeded = this.#occurrence === 1 || this.#occurrence === 2;
    const nameBytes = typeof name === "string" ? Buffer.byteLength(name) : name.length;
    if (!isNeeded && this.#room <= 0) {
      this.#omittedFields++;
      this.#omittedBytes += nameBytes + value.length;
      return;
    }
    // Each field counts sixteen bytes more than its text, for what it costs besides: millions of empty fields must not
    // fit.
    this.#room -= 16 + nameBytes + Math.min(value.length, MAX_VALUE_BYTES);
    this.#fields.push(name, value.result());
  }

  #limit(): number {
    if (this.#name === undefined) return MAX_VALUE_BYTES;
    if (this.#occurrence === 1) {
      return this.#name === "recipient_user_ids_json" ? MAX_RECIPIENTS_BYTES : MAX_VALUE_BYTES;
    }
    return Math.max(0, Math.min(MAX_VALUE_BYTES, this.#room));
  }
}

class ValueCollector {
  readonly #limit: number;
  #kept: Uint8Array[] = [];
  #keptLength = 0;
  /** Set as soon as the value is longer than what is kept. */
  #hash: Hash | undefined;
  length = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(piece: Buffer): void {
    this.length += piece.length;
    if (this.length > this.#limit && this.#hash === undefined) {
      this.#hash = createHash("sha256");
      for (const kept of this.#kept) this.#hash.update(kept);
    }
    this.#hash?.update(piece);
    const head = piece.subarray(0, this.#limit - this.#keptLength);
    if (head.length > 0) this.#kept.push(new Uint8Array(head));
    this.#keptLength += head.length;
  }

  result(): FieldValue {
    const bytes = this.#kept.length === 1 ? this.#kept[0]! : new Uint8Array(Buffer.concat(this.#kept));
    if (this.#hash !== undefined) return { head: bytes, length: this.length, sha256: this.#hash.digest("hex") };
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return bytes;
    }
  }
}
