/**
 * A batch: routes of one channel that this process has claimed. It comes from one of two sources: routes that intake
 * has just accepted, which are born claimed (`accepted_routes.ts`), or routes that were claimed when they were due
 * (`publish/due_routes.ts`).
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
 * Why no route is published twice: Redis runs one script at a time, so of two processes that hand off the same route
 * the second one finds the lease of the first (3). The lease only has to outlive every script that may still append.
 * Until `published` is written it lives for `ROUTE_LEASE_TTL`, a week by default. Then it is cut to ten seconds, the
 * longest life of a claim (`publish/shorten_leases.ts`): a route is claimed only while it is live, so every process
 * read Redis's clock for its claim before that, and appends nothing once ten seconds have passed (2).
 *
 * Why no published route becomes a dead letter: A gives a route up only if the script answered that it is not
 * published, and the claim still is A's when that is written (4). A process with an earlier claim can no longer append:
 * it read Redis's clock before it claimed, so its script's time ends before its claim does (2). A process with a later
 * claim has moved `next_attempt_at`, and A writes nothing (4).
 *
 * Why no route is lost: a claim ends by itself, whatever dies (1, 5).
 *
 * Only the second of these needs Redis's and PostgreSQL's clocks to run at the same pace (not to show the same time).
 * If PostgreSQL's clock runs fast, two processes may work on one route: it is still published once, but one process may
 * give it up while the other publishes it.
 */
import type { ClaimedRoute } from "../notification/route.ts";

/** Most payload in one batch, in UTF-16 units, counted for each route; one route always fits. */
export const MAX_BATCH_CHARS = 2 * 1024 * 1024;

/** When Redis's clock was read for a claim, which was made later: nearly the same moment by two clocks. */
export interface ClaimStart {
  /** By Redis's clock, Unix milliseconds. The script compares it, so the rule depends on this one. */
  readonly takenAtMs: number;
  /** By this process's monotonic clock, milliseconds. It only avoids calls that the script would refuse. */
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
