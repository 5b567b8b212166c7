/**
 * Batches as they were read → one warning when the stream's ids are ahead of the clock. After one entry with such an id
 * Redis gives all later entries ids that are ahead too, and no id shows the time of its entry any more.
 */
import { entryTimeMs } from "../notification/stream_entry.ts";
import type { IntakeEvents } from "./events.ts";
import type { ReadBatch } from "./read_batch.ts";

/** After a failover the servers' clocks may differ by seconds, and ids are ahead for that long. */
const TOLERANCE_MS = 60_000;

export class IdsAhead {
  readonly #events: Pick<IntakeEvents, "idsAhead">;
  #isReported = false;

  constructor(events: Pick<IntakeEvents, "idsAhead">) {
    this.#events = events;
  }

  check({ entries, takenAtMs }: Pick<ReadBatch, "entries" | "takenAtMs">): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    const aheadMs = entryTimeMs(last.id) - takenAtMs;
    const isAhead = aheadMs > TOLERANCE_MS;
    if (isAhead && !this.#isReported) this.#events.idsAhead(last.id, aheadMs);
    this.#isReported = isAhead;
  }
}
