// Edit distance, the nearest of several names, and how much of a strange name is shown.

import assert from "node:assert/strict";
import fc from "fast-check";
import { editDistance, nearestName, shownName } from "./names.ts";

Deno.test("editDistance() counts insertions, deletions and substitutions", () => {
  assert.equal(editDistance("", ""), 0);
  assert.equal(editDistance("", "abc"), 3);
  assert.equal(editDistance("kitten", "sitting"), 3);
  assert.equal(editDistance("REDIS_PASWORD", "REDIS_PASSWORD"), 1);
});

Deno.test("editDistance() is a metric", () => {
  const text = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 8 });
  fc.assert(fc.property(text, text, text, (a, b, c) => {
    assert.equal(editDistance(a, b) === 0, a === b);
    assert.equal(editDistance(a, b), editDistance(b, a));
    assert.ok(editDistance(a, c) <= editDistance(a, b) + editDistance(b, c));
    assert.ok(editDistance(a, b) <= Math.max(a.length, b.length));
  }));
});

Deno.test("nearestName() gives the first of the nearest", () => {
  assert.equal(nearestName("AB", ["XYZ", "AC", "AD"]), "AC");
  assert.equal(nearestName("AB", []), undefined);
});

Deno.test("shownName() cuts at what can't be part of a name", () => {
  assert.equal(shownName("NOTIFICATION_X1.a-b"), "NOTIFICATION_X1.a-b");
  assert.equal(shownName("NOTIFICATION_X: hunter2"), "NOTIFICATION_X…");
  assert.equal(shownName("NOTIFICATION_X\nERROR"), "NOTIFICATION_X…");
  assert.equal(shownName("N".repeat(500)).length, 121);
});
