// What a publisher finds of what was accepted a moment ago: in order, bounded, and for two seconds only.

import assert from "node:assert/strict";
import { FreshRoutes } from "./fresh_routes.ts";
import type { DueRoute } from "./route.ts";
import { dueRoute } from "./test_examples.ts";

const NO_BOUND = { limit: Infinity, maxCharacters: Infinity };

function routes(count: number, { from = 0, payload = "{}" } = {}): DueRoute[] {
  return Array.from({ length: count }, (_, at) => dueRoute({ routeId: `push:user:${from + at}`, record: { payload } }));
}

const idsOf = (taken: ReturnType<FreshRoutes["take"]>) => taken?.routes.map(({ routeId }) => routeId.slice(10));

Deno.test("FreshRoutes gives routes in order, as many as are asked for, with the first one's time of reading", () => {
  const fresh = new FreshRoutes();
  assert.equal(fresh.take(NO_BOUND), undefined);
  fresh.add({ readAtMs: 7, routes: routes(3) });
  fresh.add({ readAtMs: 8, routes: routes(2, { from: 3 }) });
  const first = fresh.take({ limit: 2, maxCharacters: Infinity });
  assert.deepEqual([idsOf(first), first?.readAtMs], [["0", "1"], 7]);
  const second = fresh.take({ limit: 2, maxCharacters: Infinity });
  assert.deepEqual([idsOf(second), second?.readAtMs], [["2", "3"], 7]);
  assert.ok(!fresh.isEmpty);
  const third = fresh.take(NO_BOUND);
  assert.deepEqual([idsOf(third), third?.readAtMs], [["4"], 8]);
  assert.ok(fresh.isEmpty);
});

Deno.test("FreshRoutes bounds what is taken in characters of payload; one route always fits", () => {
  const fresh = new FreshRoutes();
  fresh.add({ readAtMs: 1, routes: routes(4, { payload: "x".repeat(100) }) });
  assert.deepEqual(idsOf(fresh.take({ limit: 10, maxCharacters: 150 })), ["0", "1"]);
  assert.deepEqual(idsOf(fresh.take({ limit: 10, maxCharacters: 1 })), ["2"]);
});

Deno.test("FreshRoutes keeps 5,000 routes and 4 Mi characters of payload, or one acceptance of any size", () => {
  const fresh = new FreshRoutes();
  fresh.add({ readAtMs: 1, routes: routes(20_000) });
  fresh.add({ readAtMs: 2, routes: routes(1) });
  assert.equal(fresh.take(NO_BOUND)?.routes.length, 20_000);
  for (let at = 0; at < 6; at++) fresh.add({ readAtMs: at, routes: routes(1_000) });
  assert.equal(fresh.take(NO_BOUND)?.routes.length, 5_000);
  for (let at = 0; at < 6; at++) fresh.add({ readAtMs: at, routes: routes(1, { payload: "x".repeat(1024 * 1024) }) });
  assert.equal(fresh.take(NO_BOUND)?.routes.length, 4);
  assert.ok(fresh.isEmpty);
});

Deno.test("FreshRoutes gives nothing that was accepted more than two seconds ago", () => {
  const { now } = performance;
  let ms = 1000;
  performance.now = () => ms;
  try {
    const fresh = new FreshRoutes();
    fresh.add({ readAtMs: 1, routes: routes(2) });
    ms += 1500;
    fresh.add({ readAtMs: 2, routes: routes(1, { from: 2 }) });
    ms += 500;
    const taken = fresh.take(NO_BOUND);
    assert.deepEqual([idsOf(taken), taken?.readAtMs], [["2"], 2]);
    assert.ok(fresh.isEmpty);
  } finally {
    performance.now = now;
  }
});
