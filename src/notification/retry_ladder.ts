/**
 * A failed attempt → the time until the next one, or `undefined` if there is none. Pure; docs/contract.md, section 5.
 */

export interface RetryLadder {
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
}

/**
 * Milliseconds until the next attempt after `failedAttempts` (1 and up) failed ones, or `undefined` when `maxAttempts`
 * are used up: `min(max, min · 2^(n−1))` times a factor in [0.8, 1.2], never above the ladder's maximum.
 *
 * @param random a number in [0, 1)
 */
export function retryDelayMs(
  ladder: RetryLadder,
  { failedAttempts, maxAttempts, random }: { failedAttempts: number; maxAttempts: number; random: number },
): number | undefined {
  if (failedAttempts >= maxAttempts) return undefined;
  const step = Math.min(ladder.backoffMaxMs, ladder.backoffMinMs * 2 ** (failedAttempts - 1));
  return Math.min(ladder.backoffMaxMs, Math.round(step * (0.8 + 0.4 * random)));
}
