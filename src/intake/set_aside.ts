/**
 * Entries that an operator has set aside: each has a row of `malformed_intents` with the code `set_aside`, and the
 * consumer passes over it without a look-up in the User Service.
 *
 * PostgreSQL is asked only when intake can't continue, so that other batches need no query for it.
 */
import type pg from "pg";
import { malformedIntent } from "../notification/intent.ts";
import type { Decoded } from "./judge.ts";
import { malformedBefore } from "./malformed_before.ts";

export class SetAside {
  readonly #options: { readonly postgres: pg.Pool; readonly stream: string };
  #entryIds: ReadonlySet<string> = new Set();

  constructor(options: { readonly postgres: pg.Pool; readonly stream: string }) {
    this.#options = options;
  }

  /** Whether one of these entries has been set aside since the last call: then the batch is judged again. */
  async hasMore(decoded: readonly Decoded[]): Promise<boolean> {
    const { postgres, stream } = this.#options;
    const found = await malformedBefore(postgres, stream, decoded.filter((item) => item.kind !== "malformed"));
    const hasMore = [...found].some((id) => !this.#entryIds.has(id));
    this.#entryIds = found;
    return hasMore;
  }

  /** Turns entries that were set aside into malformed intents; their rows stay as they are. */
  apply(decoded: readonly Decoded[]): readonly Decoded[] {
    if (this.#entryIds.size === 0) return decoded;
    return decoded.map((item) => {
      if (item.kind === "malformed" || !this.#entryIds.has(item.entry.id)) return item;
      return { ...malformedIntent(item, "set_aside", "set aside by an operator"), isWithoutFields: true };
    });
  }

  /** Call this when the whole batch is accepted. */
  forget(): void {
    if (this.#entryIds.size > 0) this.#entryIds = new Set();
  }
}
