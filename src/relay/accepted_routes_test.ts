// What a publisher finds of what was accepted a moment ago: in order, bounded, and for two seconds only.

import assert from "node:assert/strict";
import { FRESH_MS, FreshRoutes } from "./fresh_routes.ts";
import type { DueRoute } from "./route.ts";
import { claimedRoute } from "./test_examples.ts";

/** A queue on a clock that the test moves. */
function freshRoutes() {
  const time = { ms: 0 };
  return { time, fresh: new FreshRoutes(() => time.ms) };
}

const batch = (freshFromMs: number, routes: DueRoute[], freshUntil = FRESH_MS) => ({ freshFromMs, freshUntil, routes });

const NO_BOUND = { limit: Infinity, maxCharacters: Infinity };

function routes(count: number, { from = 0, payload = "{}" } = {}): DueRoute[] {
  return Array.from({ length: count }, (_, at) => claimedRoute({ routeId: `push:user:${from + at}`, record: { payload } }));
}

const idsOf = (taken: ReturnType<FreshRoutes["take"]>) => taken?.routes.map(({ routeId }) => routeId.slice(10));

Deno.test("FreshRoutes gives routes in order, as many as are asked for, with the first one's time of acceptance", () => {
  const { fresh } = freshRoutes();
  assert.equal(fresh.take(NO_BOUND), undefined);
  fresh.add(batch(7, routes(3)));
  fresh.add(batch(8, routes(2, { from: 3 })));
  const first = fresh.take({ limit: 2, maxCharacters: Infinity });
  assert.deepEqual([idsOf(first), first?.freshFromMs], [["0", "1"], 7]);
  const second = fresh.take({ limit: 2, maxCharacters: Infinity });
  assert.deepEqual([idsOf(second), second?.freshFromMs], [["2", "3"], 7]);
  assert.ok(!fresh.isEmpty);
  const third = fresh.take(NO_BOUND);
  assert.deepEqual([idsOf(third), third?.freshFromMs], [["4"], 8]);
  assert.ok(fresh.isEmpty);
});

Deno.test("FreshRoutes bounds what is taken in characters of payload; one route always fits", () => {
  const { fresh } = freshRoutes();
  fresh.add(batch(1, routes(4, { payload: "x".repeat(100) })));
  assert.deepEqual(idsOf(fresh.take({ limit: 10, maxCharacters: 150 })), ["0", "1"]);
  assert.deepEqual(idsOf(fresh.take({ limit: 10, maxCharacters: 1 })), ["2"]);
});

Deno.test("FreshRoutes keeps 5,000 routes and 4 Mi characters of payload, or one acceptance of any size", () => {
  const { fresh } = freshRoutes();
  fresh.add(batch(1, routes(20_000)));
  fresh.add(batch(2, routes(1)));
  assert.equal(fresh.take(NO_BOUND)?.routes.length, 20_000);
  for (let at = 0; at < 6; at++) fresh.add(batch(at, routes(1_000)));
  assert.equal(fresh.take(NO_BOUND)?.routes.length, 5_000);
  for (let at = 0; at < 6; at++) fresh.add(batch(at, routes(1, { payload: "x".repeat(1024 * 1024) })));
  assert.equal(fresh.take(NO_BOUND)?.routes.length, 4);
  assert.ok(fresh.isEmpty);
});

Deno.test("FreshRoutes gives nothing that is not fresh any more, and has its room for others", () => {
  const { fresh, time } = freshRoutes();
  fresh.add(batch(1, routes(4_000), 2000));
  time.ms = 1500;
  fresh.add(batch(2, routes(1_000, { from: 4_000 }), 3500));
  assert.equal(fresh.take({ limit: 2_000, maxCharacters: Infinity })?.routes.length, 2_000);
  time.ms = 2000;
  fresh.add(batch(3, routes(4_000, { from: 5_000 }), 4000));
  const taken = fresh.take(NO_BOUND);
  assert.deepEqual([taken?.routes.length, idsOf(taken)?.[0], taken?.freshFromMs], [5_000, "4000", 2]);
  assert.ok(fresh.isEmpty);
});
