/** Exactly the entries that were trimmed unread are counted, whatever producers and consumers do in between. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { standingOf, type StreamState } from "./ordinals.ts";
import type { Offset } from "./stream_offset.ts";

const at = (entryId: string, entriesRead: number | undefined): Offset => ({ entryId, entriesRead });
const state = (changes: Partial<StreamState>): StreamState => ({
  length: 10,
  entriesAdded: 100,
  lastGeneratedId: "100-0",
  firstId: "91-0",
  ...changes,
});

Deno.test("standingOf() counts the entries that were deleted beyond those that were read", () => {
  assert.deepEqual(standingOf(at("90-0", 90), state({})), { kind: "same", entriesRead: 90, trimmedUnread: 0 });
  assert.deepEqual(standingOf(at("95-0", 95), state({})), { kind: "same", entriesRead: 95, trimmedUnread: 0 });
  assert.deepEqual(standingOf(at("87-0", 87), state({})), { kind: "same", entriesRead: 90, trimmedUnread: 3 });
  assert.deepEqual(standingOf(at("0-0", 0), state({ length: 0 })), {
    kind: "same",
    entriesRead: 100,
    trimmedUnread: 100,
  });
});

Deno.test("standingOf() takes what was already trimmed as the baseline when no offset is known", () => {
  assert.deepEqual(standingOf(at("0-0", undefined), state({})), { kind: "same", entriesRead: 90, trimmedUnread: 0 });
});

Deno.test("standingOf() finds a stream that ends before the offset", () => {
  assert.deepEqual(standingOf(at("100-1", 100), state({})), { kind: "ends_before" });
  assert.deepEqual(standingOf(at("18446744073709551615-0", undefined), state({})), { kind: "ends_before" });
  assert.equal(standingOf(at("100-0", 100), state({})).kind, "same");
});

Deno.test("standingOf() takes a new baseline for an ordinal that the stream never reached", () => {
  assert.deepEqual(standingOf(at("80-0", 101), state({})), { kind: "same", entriesRead: 90, trimmedUnread: 0 });
  const empty = state({ length: 0, firstId: "0-0" });
  assert.deepEqual(standingOf(at("80-0", 101), empty), { kind: "same", entriesRead: 100, trimmedUnread: 0 });
});

Deno.test("standingOf() reports another stream if it holds entries before an ordinal that it never reached", () => {
  assert.deepEqual(standingOf(at("95-0", 101), state({})), { kind: "another_stream" });
  assert.deepEqual(standingOf(at("91-0", 101), state({})), { kind: "another_stream" });
});

/** A stream as Redis counts it, and which of its entries were read. */
class ModelStream {
  entries: number[] = [];
  added = 0;
  read = new Set<number>();
  lostUnread = 0;

  add(count: number): void {
    for (let n = 0; n < count; n++) this.entries.push(++this.added);
  }

  /** Deletes entries from the beginning, as `MAXLEN` does. */
  trim(count: number): void {
    for (const entry of this.entries.splice(0, count)) if (!this.read.has(entry)) this.lostUnread++;
  }

  delete(position: number): void {
    const [entry] = this.entries.splice(position, 1);
    if (entry !== undefined && !this.read.has(entry)) this.lostUnread++;
  }

  get state(): StreamState {
    return {
      length: this.entries.length,
      entriesAdded: this.added,
      lastGeneratedId: `${this.added}-0`,
      firstId: `${this.entries[0] ?? 0}-0`,
    };
  }
}

/**
 * One read by a consumer that keeps its offset as the contract says; returns how many entries it finds trimmed unread.
 */
function readBatch(stream: ModelStream, offset: Offset, most: number): { offset: Offset; lost: number } {
  const last = Number(offset.entryId.split("-")[0]);
  const behind = stream.entries.filter((entry) => entry > last);
  const standing = standingOf(offset, stream.state, { isAtEnd: behind.length === 0 });
  assert.equal(standing.kind, "same");
  if (standing.kind !== "same") return { offset, lost: 0 };
  const batch = behind.slice(0, most);
  for (const entry of batch) stream.read.add(entry);
  const entryId = batch.length === 0 ? offset.entryId : `${batch.at(-1)}-0`;
  const entriesRead = standing.entriesRead === undefined ? undefined : standing.entriesRead + batch.length;
  return { offset: { entryId, entriesRead }, lost: standing.trimmedUnread };
}

const count = fc.nat(6);
const add = count.map((number) => ({ kind: "add" as const, number }));
const trim = count.map((number) => ({ kind: "trim" as const, number }));
const read = fc.integer({ min: 1, max: 6 }).map((number) => ({ kind: "read" as const, number }));

Deno.test("standingOf() counts every entry that was trimmed unread once, and no other", () => {
  fc.assert(fc.property(fc.array(fc.oneof(add, trim, read), { maxLength: 40 }), (moves) => {
    const stream = new ModelStream();
    let offset = at("0-0", 0);
    let reported = 0;
    for (const { kind, number } of [...moves, { kind: "read" as const, number: 0 }]) {
      if (kind === "add") stream.add(number);
      else if (kind === "trim") stream.trim(number);
      else {
        const result = readBatch(stream, offset, number);
        offset = result.offset;
        reported += result.lost;
        assert.equal(reported, stream.lostUnread);
      }
    }
  }));
});

Deno.test("standingOf() never counts more entries than were deleted unread, and all of them at the end of the stream", () => {
  const remove = fc.nat(20).map((number) => ({ kind: "delete" as const, number }));
  fc.assert(fc.property(fc.array(fc.oneof(add, trim, read, remove), { maxLength: 40 }), (moves) => {
    const stream = new ModelStream();
    let offset = at("0-0", 0);
    let reported = 0;
    for (const { kind, number } of moves) {
      if (kind === "add") stream.add(number);
      else if (kind === "trim") stream.trim(number);
      else if (kind === "delete") stream.delete(number);
      else {
        const result = readBatch(stream, offset, number);
        offset = result.offset;
        reported += result.lost;
        assert.ok(reported <= stream.lostUnread);
      }
    }
    const atEnd = readBatch(stream, offset, Infinity);
    assert.equal(reported + atEnd.lost + readBatch(stream, atEnd.offset, 1).lost, stream.lostUnread);
  }));
});

Deno.test("standingOf() keeps an ordinal unknown until the end of the stream, and reports nothing meanwhile", () => {
  const unknown = at("95-0", undefined);
  const deletedRead = state({ length: 3, firstId: "98-0" });
  for (const each of [state({}), deletedRead]) {
    assert.deepEqual(standingOf(unknown, each), { kind: "same", entriesRead: undefined, trimmedUnread: 0 });
    assert.deepEqual(standingOf(unknown, each, { isAtEnd: true }), {
      kind: "same",
      entriesRead: 100,
      trimmedUnread: 0,
    });
  }
});

Deno.test("standingOf() counts what was deleted unread among entries that were read when it is passed", () => {
  // 98 of 100 were read, two behind them were deleted, all that were read still exist.
  assert.deepEqual(standingOf(at("98-0", 98), state({ length: 98, firstId: "1-0" })).kind, "same");
  assert.deepEqual(standingOf(at("98-0", 98), state({ length: 98, firstId: "1-0" }), { isAtEnd: true }), {
    kind: "same",
    entriesRead: 100,
    trimmedUnread: 2,
  });
});

Deno.test("standingOf() does not count what was trimmed before an offset was known", () => {
  fc.assert(fc.property(count, count, count, (added, trimmed, later) => {
    const stream = new ModelStream();
    stream.add(added);
    stream.trim(trimmed);
    const before = stream.lostUnread;
    const first = readBatch(stream, at("0-0", undefined), 2);
    stream.trim(later);
    const second = readBatch(stream, first.offset, 2);
    assert.deepEqual([first.lost, second.lost], [0, stream.lostUnread - before]);
  }));
});
