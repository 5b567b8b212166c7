/** How often an expensive query is made, and what is returned in between. */
import assert from "node:assert/strict";
import type { Clock } from "../clock.ts";
import { Sparingly } from "./sparingly.ts";

class TestClock implements Clock {
  ms = 0;
  /** By how much the system's clock was set ahead. */
  setAheadMs = 0;
  now = () => this.ms + this.setAheadMs;
  monotonic = () => this.ms;
  random = () => 0.5;
  sleep = () => Promise.resolve();
}

Deno.test("Sparingly asks for at most 2 % of the time, and returns the last answer in between", async () => {
  const clock = new TestClock();
  let asked = 0;
  let busyMs = 0;
  const question = new Sparingly(() => {
    clock.ms += 300;
    busyMs += 300;
    return Promise.resolve(++asked);
  }, clock);
  const answers = new Set<number | undefined>();
  const end = 3_600_000;
  for (clock.ms = 0; clock.ms < end; clock.ms += 1000) answers.add(await question.latest(1000));
  assert.ok(busyMs <= 0.02 * clock.ms && busyMs > 0.018 * clock.ms, `${busyMs} of ${clock.ms}`);
  assert.deepEqual([...answers], Array.from({ length: asked }, (_, index) => index + 1));
});

Deno.test("Sparingly returns the last answer while the next query is open, and makes no second query meanwhile", async () => {
  const clock = new TestClock();
  const replies = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
  let asked = 0;
  const question = new Sparingly(() => replies[asked++]!.promise, clock);
  assert.equal(await question.latest(1), undefined);
  assert.equal(await question.latest(1), undefined);
  assert.equal(asked, 1);
  replies[0]!.resolve("first");
  assert.equal(await question.latest(1000), "first");
  assert.equal(await question.latest(1), "first");
  assert.equal(asked, 2);
  replies[1]!.resolve("second");
  assert.equal(await question.latest(1000), "second");
});

Deno.test("Sparingly has no answer after a failure, and asks again at once", async () => {
  const clock = new TestClock();
  let isOut = false;
  const question = new Sparingly(() => {
    clock.ms += 5000;
    return isOut ? Promise.reject(new Error("out")) : Promise.resolve("well");
  }, clock);
  assert.equal(await question.latest(1000), "well");
  isOut = true;
  assert.equal(await question.latest(1000), "well");
  clock.ms += 49 * 5000;
  assert.equal(await question.latest(1000), undefined);
  isOut = false;
  assert.equal(await question.latest(1000), "well");
});

for (const [hours, direction] of [[1, "ahead"], [-1, "back"]] as const) {
  Deno.test(`Sparingly asks again in time when the system's clock is set ${direction} while the question is open`, async () => {
    const clock = new TestClock();
    let asked = 0;
    const question = new Sparingly(() => {
      clock.ms += 300;
      if (asked === 0) clock.setAheadMs += hours * 3_600_000;
      return Promise.resolve(++asked);
    }, clock);
    assert.equal(await question.latest(1000), 1);
    clock.ms += 49 * 300 - 1;
    assert.equal(await question.latest(1000), 1);
    clock.ms += 1;
    assert.equal(await question.latest(1000), 2);
  });
}
