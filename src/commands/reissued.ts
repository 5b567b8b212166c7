/**
 * The options of both ways of reissuing, and their results: one for each record or malformed intent, and how far the
 * command has come.
 */

export interface ReissueFilters {
  readonly since: Date | undefined;
  readonly type: string | undefined;
  readonly producer: string | undefined;
  readonly classification: string | undefined;
}

/** The parameters of a statement for the filters; NULL filters nothing. */
export const FILTERS = { since: "timestamptz", type: "text", producer: "text", classification: "text" } as const;

export function filterValues({ since, type, producer, classification }: ReissueFilters) {
  return {
    since: since?.toISOString() ?? null,
    type: type ?? null,
    producer: producer ?? null,
    classification: classification ?? null,
  };
}

/** The fields of a new intent, or the reason why there is none. */
export type Reissued =
  | { readonly kind: "intent"; readonly fields: readonly string[] }
  | { readonly kind: "left_out"; readonly reason: string }
  /**
   * About {@link STEP} more dead letters or malformed intents were looked at, whether they match the filters or not.
   */
  | { readonly kind: "looked_at" };

/**
 * So many rows of a table are looked at by one statement, which then takes a fraction of its time however few of them
 * match.
 */
export const STEP = 20_000;
