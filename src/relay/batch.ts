/**
 * A batch: routes of one channel that this process has claimed. It comes from one of two sources: routes that intake
 * has just accepted, which are born claimed (`accepted_routes.ts`), or routes that were claimed when they were due
 * (`publish/claim_due.ts`).
 *
 * The claim's rule, in five sentences:
 *
 * 1. From `routes.next_attempt_at` on, any process may claim the route: it moves that time ahead by the claim's life,
 *    in one statement; a route is inserted with the time already moved.
 * 2. The process reads Redis's clock before it claims, and the hand-off script appends nothing once that clock is the
 *    claim's life past the reading.
 * 3. The script sets a lease for each route that it appends, and appends nothing for a route that has a lease.
 * 4. `published` is written for any live route; `failed` and `dead_letter` are written only while `next_attempt_at`
 *    still is the time that the claim has set.
 * 5. A route without an outcome stays claimed, and is due again when its claim ends.
 *
 * Why no route is published twice: process A reads Redis's clock at moment t0 and claims at moment t1 ≥ t0, by
 * PostgreSQL's clock. A's script appends before t0 + life (2). Another process B can claim from t1 + life on (1), so
 * B's script runs after every append of A, finds the lease and appends nothing (3). The two clocks need the same pace,
 * not the same time. A hands a batch off only once.
 *
 * Why no published route becomes a dead letter: A gives a route up only if the script refused it and the claim still is
 * A's (4). A process with an earlier claim can no longer append (2), and one with a later claim finds the route
 * terminal.
 *
 * Why no route is lost: a claim ends by itself, whatever dies (1, 5).
 *
 * Even if the clocks are wrong, a route is published once: if PostgreSQL's clock runs fast, two processes work on one
 * route, and the lease lets only one of them append.
 */
import type { ClaimedRoute } from "../notification/route.ts";

/** Most payload in one batch, in UTF-16 units, counted for each route; one route always fits. */
export const MAX_BATCH_CHARS = 2 * 1024 * 1024;

/** A time before a claim, by two clocks. */
export interface ClaimStart {
  /** By Redis's clock, Unix milliseconds: the script compares it. */
  readonly takenAtMs: number;
  /** By this process's monotonic clock, milliseconds: avoids calls that the script would refuse. */
  readonly takenAt: number;
}

export interface Batch extends ClaimStart {
  /** Each route has the `claimedUntil` of its own claim: a batch may join routes of several acceptances. */
  readonly routes: readonly ClaimedRoute[];
  /** How long after `takenAtMs` the script may append, in milliseconds. */
  readonly lifeMs: number;
}

/** Whether the claim is over by this process's clock, so that the script would refuse to append. */
export function isOver({ takenAt, lifeMs }: Pick<Batch, "takenAt" | "lifeMs">, monotonicMs: number): boolean {
  return monotonicMs - takenAt >= lifeMs;
}

/** UTF-16 units of payload, counted for each route. */
export function payloadChars(routes: readonly ClaimedRoute[]): number {
  return routes.reduce((sum, { record }) => sum + record.payload.length, 0);
}
