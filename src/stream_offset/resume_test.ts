/** Reading resumes where nothing can be lost, and never at entries whose records may be deleted. */
import assert from "node:assert/strict";
import { resumptionOf, trimmedAfterRead } from "./resume.ts";
import type { Offset, OffsetRow } from "./stream_offset.ts";

const DAY_MS = 86_400_000;
const NOW_MS = 1_000 * DAY_MS;

const at = (ms: number, entriesRead?: number): OffsetRow => ({ entryId: `${ms}-0`, entriesRead, epoch: "before" });
const resume = (row: OffsetRow | undefined, copy: Offset | undefined, epoch = "now") =>
  resumptionOf({ row, copy: { offset: copy, timeMs: NOW_MS, epoch }, recordRetentionMs: 30 * DAY_MS });

Deno.test("resumptionOf() takes the row, else the copy, else the beginning", () => {
  assert.deepEqual(resume(at(NOW_MS, 7), undefined), { offset: at(NOW_MS, 7) });
  assert.deepEqual(resume(at(NOW_MS, 7), at(NOW_MS)), { offset: at(NOW_MS, 7) });
  assert.deepEqual(resume(undefined, at(NOW_MS, 7)), { offset: at(NOW_MS, 7) });
  assert.deepEqual(resume(undefined, undefined), { offset: { entryId: "0-0", entriesRead: undefined } });
});

Deno.test("resumptionOf() takes the row if the copy is ahead, and returns the copy too", () => {
  assert.deepEqual(resume(at(5, 5), at(7, 7)), { offset: at(5, 5), copyAhead: "7-0" });
});

Deno.test("resumptionOf() takes the copy if it is behind the row", () => {
  const row = at(NOW_MS, 9);
  assert.deepEqual(resume(row, at(NOW_MS - DAY_MS, 7)), { offset: at(NOW_MS - DAY_MS, 7), readBefore: row });
});

Deno.test("resumptionOf() takes the row if it was compared with the same server, unless the server hides its epoch", () => {
  const row = at(NOW_MS, 9);
  const copy = at(NOW_MS - DAY_MS, 7);
  assert.deepEqual(resume(row, copy, "before"), { offset: row });
  const hidden = { ...row, epoch: "hidden" };
  assert.deepEqual(resume(hidden, copy, "hidden"), { offset: copy, readBefore: hidden });
});

Deno.test("resumptionOf() reads no entry again whose record retention may have deleted", () => {
  const row = at(NOW_MS, 9);
  const oldest = NOW_MS - 30 * DAY_MS + 3_600_000;
  assert.deepEqual(resume(row, at(oldest, 3)), { offset: at(oldest, 3), readBefore: row });
  assert.deepEqual(resume(row, at(oldest - 1, 3)), {
    offset: { entryId: `${oldest}-0`, entriesRead: undefined },
    readBefore: row,
  });
  assert.deepEqual(resume(at(oldest - 5, 9), at(oldest - 9, 3)), { offset: at(oldest - 5, 9) });
});

Deno.test("trimmedAfterRead() counts the trimmed entries that were read before the offset was set back", () => {
  const offset = at(5, 10);
  assert.equal(trimmedAfterRead(offset, 3), 0);
  assert.equal(trimmedAfterRead({ ...offset, readBefore: at(9, 12) }, 3), 2);
  assert.equal(trimmedAfterRead({ ...offset, readBefore: at(9, 20) }, 3), 3);
  assert.equal(trimmedAfterRead({ ...offset, readBefore: at(9) }, 3), 0);
  assert.equal(trimmedAfterRead({ ...at(5), readBefore: at(9, 20) }, 3), 0);
});
