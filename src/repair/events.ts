/**
 * What the stores have lost, and what is repaired → metrics and logs. One method for each event; none of them throws.
 */
import type { Channel } from "../notification/route.ts";
import type { Instruments } from "../telemetry/instruments.ts";
import { loggerOf } from "../telemetry/logger.ts";
import type { RebuiltStream } from "./postgres_check.ts";
import type { RepairBatch } from "./put_back.ts";
import type { Loss } from "./redis_check.ts";

export type RepairEvents = ReturnType<typeof createRepairEvents>;

export interface RepairEventsOptions {
  readonly instruments: Instruments;
  readonly isRepublished: boolean;
}

export function createRepairEvents({ instruments, isRepublished }: RepairEventsOptions) {
  const logger = loggerOf("repair");
  const whatFollows = isRepublished ? "their routes are published again" : "their routes are counted";

  return {
    /** Redis has lost the end of an outbound stream. */
    outboundLost({ stream, lostAfter, lostUpTo }: Loss): void {
      logger.error(`Redis lost the last entries of an outbound stream: ${whatFollows}`, {
        stream,
        lost_after: lostAfter,
        lost_up_to: lostUpTo,
      });
    },

    /** A batch of routes was searched for lost ones. */
    lookedThrough(channel: Channel | undefined, { stream, lost, routes, isFinished, durationMs }: RepairBatch): void {
      if (lost > 0) {
        const attributes = channel === undefined ? {} : { channel };
        instruments.lost.add(lost, attributes);
        if (isRepublished) instruments.republished.add(lost, attributes);
      }
      if (!isFinished) return;
      logger.warn("a repair is finished", {
        stream,
        routes,
        routes_are: isRepublished ? "published again" : "reported only",
        duration_ms: Math.round(durationMs),
      });
    },

    /** PostgreSQL has lost outcomes of an outbound stream. */
    leasesRebuilt({ stream, row, copy, entries, leases }: RebuiltStream): void {
      instruments.rebuiltLeases.add(leases);
      logger.warn("PostgreSQL lost commits: the leases of routes whose publication it lost are rebuilt", {
        stream,
        offset: row,
        copy: copy.entryId,
        entries,
        leases_rebuilt: leases,
      });
    },
  };
}
