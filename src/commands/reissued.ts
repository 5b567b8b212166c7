/** The options of both ways of reissuing, and their result for each record or malformed intent. */

export interface ReissueFilters {
  readonly since: Date | undefined;
  readonly type: string | undefined;
  readonly producer: string | undefined;
  readonly classification: string | undefined;
}

/** The fields of a new intent, or the reason why there is none. */
export type Reissued =
  | { readonly kind: "intent"; readonly fields: readonly string[] }
  | { readonly kind: "left_out"; readonly reason: string };
