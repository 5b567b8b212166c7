/** The routes that a publisher takes after their acceptance: in order, bounded, and only while their claim lasts. */
import assert from "node:assert/strict";
import { systemClock } from "../clock.ts";
import { BIRTH_CLAIM_MS, type ClaimedRoute } from "../notification/route.ts";
import { claimedRoute } from "../../tests/support/examples.ts";
import { AcceptedRoutes } from "./accepted_routes.ts";

/** A queue on a clock that the test moves. */
function queue() {
  const time = { ms: 0 };
  return { time, accepted: new AcceptedRoutes({ ...systemClock, monotonic: () => time.ms }) };
}

const batch = (takenAtMs: number, routes: ClaimedRoute[], takenAt = 0) => ({
  takenAtMs,
  takenAt,
  lifeMs: BIRTH_CLAIM_MS,
  routes,
});

const NO_BOUND = { limit: Infinity, maxChars: Infinity };
const never = new AbortController().signal;

function routes(count: number, { from = 0, payload = "{}" } = {}): ClaimedRoute[] {
  return Array.from(
    { length: count },
    (_, at) => claimedRoute({ routeId: `push:user:${from + at}`, record: { payload } }),
  );
}

const idsOf = (taken: ReturnType<AcceptedRoutes["take"]>) => taken?.routes.map(({ routeId }) => routeId.slice(10));

Deno.test("take() returns routes in order, up to the limit, with the earliest claim of them", () => {
  const { accepted } = queue();
  assert.equal(accepted.take(NO_BOUND), undefined);
  accepted.add(batch(7, routes(3)));
  accepted.add(batch(8, routes(2, { from: 3 })));
  const first = accepted.take({ limit: 2, maxChars: Infinity });
  assert.deepEqual([idsOf(first), first?.takenAtMs, first?.lifeMs], [["0", "1"], 7, BIRTH_CLAIM_MS]);
  const second = accepted.take({ limit: 2, maxChars: Infinity });
  assert.deepEqual([idsOf(second), second?.takenAtMs], [["2", "3"], 7]);
  assert.ok(!accepted.isEmpty);
  const third = accepted.take(NO_BOUND);
  assert.deepEqual([idsOf(third), third?.takenAtMs], [["4"], 8]);
  assert.ok(accepted.isEmpty);
});

Deno.test("take() is bounded in payload; one route always fits", () => {
  const { accepted } = queue();
  accepted.add(batch(1, routes(4, { payload: "x".repeat(100) })));
  assert.deepEqual(idsOf(accepted.take({ limit: 10, maxChars: 150 })), ["0", "1"]);
  assert.deepEqual(idsOf(accepted.take({ limit: 10, maxChars: 1 })), ["2"]);
});

Deno.test("add() drops a batch while 4,000 routes or 4 Mi characters of payload wait", () => {
  const { accepted } = queue();
  accepted.add(batch(1, routes(20_000)));
  accepted.add(batch(2, routes(1)));
  assert.equal(accepted.take(NO_BOUND)?.routes.length, 20_000);
  for (let at = 0; at < 6; at++) accepted.add(batch(at, routes(1_000)));
  assert.equal(accepted.take(NO_BOUND)?.routes.length, 4_000);
  for (let at = 0; at < 6; at++) accepted.add(batch(at, routes(1, { payload: "x".repeat(1024 * 1024) })));
  assert.equal(accepted.take(NO_BOUND)?.routes.length, 4);
  assert.ok(accepted.isEmpty);
});

Deno.test("take() returns no route whose claim is over, and their room is free", () => {
  const { accepted, time } = queue();
  accepted.add(batch(1, routes(3_000), 0));
  time.ms = 1500;
  accepted.add(batch(2, routes(1_000, { from: 3_000 }), 1500));
  assert.equal(accepted.take({ limit: 2_000, maxChars: Infinity })?.routes.length, 2_000);
  time.ms = 2000;
  accepted.add(batch(3, routes(3_000, { from: 5_000 }), 2000));
  const taken = accepted.take(NO_BOUND);
  assert.deepEqual([taken?.routes.length, idsOf(taken)?.[0], taken?.takenAtMs], [4_000, "3000", 2]);
  assert.ok(accepted.isEmpty);
});

Deno.test("room() waits while the queue is full, until something is taken", async () => {
  const accepted = new AcceptedRoutes(systemClock);
  await accepted.room(0, never);
  accepted.add(batch(1, routes(4_000), systemClock.monotonic()));
  let hasRoom = false;
  const waiting = accepted.room(60_000, never).then(() => hasRoom = true);
  await systemClock.sleep(20);
  assert.equal(hasRoom, false);
  accepted.take({ limit: 1, maxChars: Infinity });
  await waiting;
});

Deno.test("room() waits once without success, and not again before a route is taken", async () => {
  const accepted = new AcceptedRoutes(systemClock);
  accepted.add(batch(1, routes(4_000), systemClock.monotonic()));
  const timed = async () => {
    const startedAt = performance.now();
    await accepted.room(100, never);
    return performance.now() - startedAt;
  };
  const vain = await timed();
  assert.ok(vain >= 90, `${vain}`);
  const again = await timed();
  assert.ok(again < 50, `${again}`);
  accepted.take({ limit: 1, maxChars: Infinity });
  accepted.add(batch(1, routes(1), systemClock.monotonic()));
  const full = await timed();
  assert.ok(full >= 90, `${full}`);
});

Deno.test("room() ends when the signal aborts", async () => {
  const accepted = new AcceptedRoutes(systemClock);
  accepted.add(batch(1, routes(4_000), systemClock.monotonic()));
  const stop = new AbortController();
  const waiting = accepted.room(60_000, stop.signal);
  stop.abort();
  await waiting;
});
