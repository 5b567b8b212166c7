/**
 * An entry of the intent stream before it is decoded: an id and field values of any bytes.
 *
 * A value is a `string` if its bytes are UTF-8, as nearly all are; the two other forms keep bytes that a string cannot
 * hold.
 */

/** The beginning of a value that is too long to keep, with the length and hash of the whole. */
export interface CutValue {
  readonly head: Uint8Array;
  /** Length of the whole value in bytes. */
  readonly length: number;
  /** SHA-256 of the whole value, hexadecimal. */
  readonly sha256: string;
}

/** Text, or bytes that are not UTF-8, or a value that was cut. */
export type FieldValue = string | Uint8Array | CutValue;

export interface StreamEntry {
  /** `<milliseconds>-<sequence>`, both unsigned 64-bit numbers. */
  readonly id: string;
  /** Names and values in turn, in the order of the entry. */
  readonly fields: readonly FieldValue[];
  /** The number and size of the fields of a very large entry that are not kept here. */
  readonly omitted?: { readonly fields: number; readonly bytes: number };
}

/** The entry's milliseconds: the time at which Redis received it, unless the producer chose the id. */
export function entryTimeMs(entryId: string): number {
  return Number(entryId.slice(0, entryId.indexOf("-")));
}
