/** How long to pause after work that took `workMs`, so that it takes no more than its share of the time. Pure. */
export function pauseAfterMs(
  workMs: number,
  { share = 0.02, minMs = 0, maxMs = Infinity }: { share?: number; minMs?: number; maxMs?: number } = {},
): number {
  return Math.min(maxMs, Math.max(minMs, workMs * (1 - share) / share));
}
