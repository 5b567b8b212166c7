/** The nearest of several names, and the part of an unknown name that is shown. */

import assert from "node:assert/strict";
import { nearestName, shownName } from "./names.ts";

Deno.test("nearestName() returns the first of several nearest names", () => {
  assert.equal(nearestName("AB", ["XYZ", "AC", "AD"]), "AC");
  assert.equal(nearestName("AB", []), undefined);
  assert.equal(nearestName("AB", ["A", "B"]), "A");
  assert.equal(nearestName("REDIS_PASWORD", ["REDIS_DB", "REDIS_PASSWORD"]), "REDIS_PASSWORD");
  assert.equal(nearestName("", ["ABC"]), "ABC");
  assert.equal(nearestName("kitten", ["kit", "sitting", "mitten"]), "mitten");
});

Deno.test("shownName() ends before the first character that can't be part of a name", () => {
  assert.equal(shownName("NOTIFICATION_X1.a-b"), "NOTIFICATION_X1.a-b");
  assert.equal(shownName("NOTIFICATION_X: hunter2"), "NOTIFICATION_X…");
  assert.equal(shownName("NOTIFICATION_X\nERROR"), "NOTIFICATION_X…");
  assert.equal(shownName("N".repeat(500)).length, 121);
});
