/**
 * A batch: routes of one channel that this process has claimed, from whichever of the two sources they come. What intake
 * accepted a moment ago is born claimed (`accepted_routes.ts`); everything else is claimed when it is due
 * (`publish/claim_due.ts`).
 *
 * The rule:
 *
 * 1. A claim is time. `routes.next_attempt_at` says from when on any process may take the route. A process takes it by moving
 *    that time ahead, by the claim's life, in one statement; a route is inserted with that time already moved.
 * 2. Redis's clock is read before the claim is made. The hand-off script appends nothing once Redis's clock is the claim's
 *    life past that moment.
 * 3. A failure or a dead letter is written only where `next_attempt_at` still is what the claim has set; a publication
 *    is written for any live route.
 * 4. What is not answered stays claimed, and is due when the claim ends.
 *
 * Why no route is published twice: say process A reads Redis's clock at moment t0 and claims at moment t1 ≥ t0, by
 * PostgreSQL's clock. A's script appends before t0 + life (2). Another process B can claim from t1 + life on (1), so after
 * any append of A, and its script runs after its claim: it finds A's lease and appends nothing. The two clocks need the
 * same pace, not the same time. A itself hands a batch off once.
 *
 * Why no published route becomes a dead letter: A gives a route up only if the script refused it, while the claim is A's (3).
 * Whoever held an earlier claim can't append any more (2), and whoever takes a later one finds the route terminal.
 *
 * Why no route is lost: the claim ends by itself, whatever has died (1, 4).
 *
 * The clocks may even be wrong: if PostgreSQL's runs fast, two processes work on one route, and the lease still lets one of them
 * append.
 */
import type { ClaimedRoute } from "../notification/route.ts";

/** Of payload in one batch, in UTF-16 units, counted for each route; one route always fits. */
export const MAX_BATCH_CHARS = 2 * 1024 * 1024;

/** A moment before a claim. */
export interface ClaimStart {
  /** By Redis's clock, Unix milliseconds: what the script compares. */
  readonly takenAtMs: number;
  /** By this process's monotonic clock, milliseconds: spares calls that the script would refuse. */
  readonly takenAt: number;
}

export interface Batch extends ClaimStart {
  /** Each with the `claimedUntil` of its own claim: a batch may join several acceptances. */
  readonly routes: readonly ClaimedRoute[];
  /** How long after `takenAtMs` the script may append, in milliseconds. */
  readonly lifeMs: number;
}

/** Whether the script would refuse to append for the batch, as far as this process's clock knows. */
export function isOver({ takenAt, lifeMs }: Pick<Batch, "takenAt" | "lifeMs">, monotonicMs: number): boolean {
  return monotonicMs - takenAt >= lifeMs;
}

/** UTF-16 units of payload, counted for each route. */
export function payloadChars(routes: readonly ClaimedRoute[]): number {
  return routes.reduce((sum, { record }) => sum + record.payload.length, 0);
}
