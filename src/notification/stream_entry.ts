/**
 * What an entry of the intent stream is, before anybody has looked into it: an id and field values of any bytes.
 *
 * A value is a `string` wherever its bytes are UTF-8, which is nearly always; the two other forms keep what a string
 * cannot carry.
 */

/** The beginning of a value that is too long to carry around, with what identifies the whole. */
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
  /** What an entry of many megabytes had beyond the fields kept here. */
  readonly omitted?: { readonly fields: number; readonly bytes: number };
}

/** The entry's milliseconds: the time at which Redis took it in, unless the producer chose the id. */
export function entryTimeMs(entryId: string): number {
  return Number(entryId.slice(0, entryId.indexOf("-")));
}
