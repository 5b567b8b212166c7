/** What has happened to a stream, by its state, an offset, and the copy with which the offset was found. */
import assert from "node:assert/strict";
import type { StreamState } from "../stream_offset/ordinals.ts";
import { compareOffset, type VersionedOffset } from "./compare_offset.ts";

/** Ten entries, of which two are deleted. */
const STATE: StreamState = { length: 8, entriesAdded: 10, lastGeneratedId: "10-0", firstId: "3-0" };

const offset = (entryId: string, entriesRead: number | undefined, rest: Partial<VersionedOffset> = {}) => ({
  ...{ entryId, entriesRead, version: 1, epoch: "epoch" },
  ...rest,
});
const compare = (offset: VersionedOffset, { isAtEnd = false } = {}) => compareOffset(offset, STATE, { isAtEnd });
const copyAt = (entryId: string) => ({ copy: { entryId, entriesRead: undefined } });

Deno.test("compareOffset() counts the entries that were deleted unread", () => {
  const fits = { kind: "fits", isOrdinalNew: false };
  assert.deepEqual(compare(offset("5-0", 5)), { ...fits, entriesRead: 5, trimmedUnread: 0 });
  assert.deepEqual(compare(offset("1-0", 1)), { ...fits, entriesRead: 2, trimmedUnread: 1 });
  const setBack = offset("1-0", 1, { readBefore: { entryId: "2-0", entriesRead: 2 } });
  assert.deepEqual(compare(setBack), { ...fits, entriesRead: 2, trimmedUnread: 0 });
});

Deno.test("compareOffset() finds an unknown ordinal at the end of the stream", () => {
  const fits = { kind: "fits", trimmedUnread: 0 };
  assert.deepEqual(compare(offset("9-0", undefined)), { ...fits, entriesRead: undefined, isOrdinalNew: false });
  const atEnd = compare(offset("10-0", undefined), { isAtEnd: true });
  assert.deepEqual(atEnd, { ...fits, entriesRead: 10, isOrdinalNew: true });
});

Deno.test("compareOffset() distinguishes a lost tail from another stream by the copy", () => {
  assert.deepEqual(compare(offset("11-0", 11)), { kind: "find_again" });
  assert.deepEqual(compare(offset("11-0", 11, { found: copyAt("10-0") })), { kind: "tail_lost" });
  assert.deepEqual(compare(offset("11-0", 11, { found: copyAt("11-0") })), { kind: "another_stream" });
  assert.deepEqual(compare(offset("11-0", 11, { found: { copy: undefined } })), { kind: "another_stream" });
});

Deno.test("compareOffset() finds an ordinal that the stream never reached, in another stream or after lost commits", () => {
  assert.deepEqual(compare(offset("5-0", 11)), { kind: "another_stream" });
  assert.deepEqual(compare(offset("5-0", 11, { copyAhead: "11-0" })), { kind: "another_stream" });
  assert.deepEqual(compare(offset("5-0", 11, { copyAhead: "9-0" })), { kind: "wrong_ordinal" });
});
