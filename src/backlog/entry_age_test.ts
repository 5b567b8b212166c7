/** The age of the next entry and the time of a stall, from the id, the offset's last move, and what was seen. */
import assert from "node:assert/strict";
import { ageOf, stalledFor } from "./entry_age.ts";
import { FirstSeen } from "./first_seen.ts";

const FIRST_LOOK = { existsMs: 0, isNextMs: 0, isFirstLook: true };
const SEEN = { existsMs: 400, isNextMs: 300, isFirstLook: false };

Deno.test("ageOf() uses the id, or what was seen if the id is ahead of the clock", () => {
  assert.equal(ageOf({ byIdMs: 500, movedMs: 10, seen: SEEN }), 500);
  assert.equal(ageOf({ byIdMs: -1, movedMs: 9000, seen: SEEN }), 400);
  assert.equal(ageOf({ byIdMs: -1, movedMs: 9000, seen: FIRST_LOOK }), 9000);
  assert.equal(ageOf({ byIdMs: -1, movedMs: undefined, seen: FIRST_LOOK }), 0);
});

Deno.test("stalledFor() counts from the offset's last move, but not longer than an entry has existed", () => {
  assert.equal(stalledFor({ byIdMs: 500, movedMs: 9000, seen: SEEN }), 500);
  assert.equal(stalledFor({ byIdMs: 9000, movedMs: 500, seen: SEEN }), 500);
  // PostgreSQL did not answer: the stall counts since this entry was first seen as the next one.
  assert.equal(stalledFor({ byIdMs: 9000, movedMs: undefined, seen: SEEN }), 300);
  assert.equal(stalledFor({ byIdMs: 9000, movedMs: undefined, seen: FIRST_LOOK }), 9000);
  assert.equal(stalledFor({ byIdMs: -1e12, movedMs: 9000, seen: SEEN }), 400);
});

Deno.test("FirstSeen knows since when an entry exists and since when it is the next one", () => {
  const seen = new FirstSeen();
  assert.deepEqual(seen.note("9-1", { lastId: "9-3", atMs: 0 }), { existsMs: 0, isNextMs: 0, isFirstLook: true });
  assert.deepEqual(seen.note("9-1", { lastId: "9-7", atMs: 10 }), { existsMs: 10, isNextMs: 10, isFirstLook: false });
  // At the look 20 ms ago the stream already held 9-5.
  assert.deepEqual(seen.note("9-5", { lastId: "9-9", atMs: 30 }), { existsMs: 20, isNextMs: 0, isFirstLook: false });
  assert.deepEqual(seen.note("9-9", { lastId: "9-9", atMs: 50 }), { existsMs: 20, isNextMs: 0, isFirstLook: false });
  // Another stream under the name.
  assert.deepEqual(seen.note("1-1", { lastId: "1-1", atMs: 60 }), { existsMs: 0, isNextMs: 0, isFirstLook: false });
});

Deno.test("FirstSeen keeps a day of looks, and never makes an entry older than it is", () => {
  const seen = new FirstSeen();
  for (let at = 0; at < 5000; at++) seen.note("9-0", { lastId: `9-${at}`, atMs: at });
  assert.equal(seen.note("9-0", { lastId: "9-5000", atMs: 5000 }).existsMs, 5000);
  const { existsMs } = seen.note("9-3000", { lastId: "9-5000", atMs: 6000 });
  assert.ok(existsMs <= 3000, `${existsMs}`);
});
