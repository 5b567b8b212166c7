/** What a way of reissuing takes, and what it gives for each record or malformed intent. */

export interface ReissueFilters {
  readonly since: Date | undefined;
  readonly type: string | undefined;
  readonly producer: string | undefined;
  readonly classification: string | undefined;
}

/** The fields of a new intent, or why there is none. */
export type Reissued =
  | { readonly kind: "intent"; readonly fields: readonly string[] }
  | { readonly kind: "left_out"; readonly reason: string };
