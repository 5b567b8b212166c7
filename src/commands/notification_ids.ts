/**
 * A time → the range of notification ids that begin with it: ids sort by their entry's millisecond (docs/contract.md,
 * section 4).
 */

/** The first and last id of a Unix millisecond, modulo 2⁴⁸ as in the ids themselves. */
export function idsOfMillisecond(milliseconds: bigint): readonly [first: string, last: string] {
  const time = BigInt.asUintN(48, milliseconds).toString(16).padStart(12, "0");
  const prefix = `${time.slice(0, 8)}-${time.slice(8)}`;
  return [`${prefix}-0000-0000-000000000000`, `${prefix}-ffff-ffff-ffffffffffff`];
}
