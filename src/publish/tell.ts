/** What became of routes, once it is recorded → metrics, logs and spans. */
import type { Channel } from "../notification/route.ts";
import { entryTimeMs } from "../notification/stream_entry.ts";
import type { Events } from "../telemetry/events.ts";
import type { Settlement } from "./settle.ts";

export function tellSettlements(
  recorded: readonly Settlement[],
  { channel, events }: { channel: Channel; events: Events },
): void {
  const latenciesMs: number[] = [];
  const failed: Extract<Settlement, { kind: "failed" }>[] = [];
  const deadLetters: Extract<Settlement, { kind: "dead_letter" }>[] = [];
  for (const settlement of recorded) {
    switch (settlement.kind) {
      case "published":
        // Both by Redis's clock.
        latenciesMs.push(
          Math.max(0, entryTimeMs(settlement.entryId) - entryTimeMs(settlement.route.record.streamEntryId)),
        );
        events.routePublished(channel, settlement.route, settlement.entryId);
        break;
      case "failed":
        failed.push(settlement);
        break;
      case "dead_letter":
        deadLetters.push(settlement);
        break;
      case "unchanged":
        break;
      default:
        settlement satisfies never;
    }
  }
  events.published(channel, latenciesMs);
  events.attemptsFailed(channel, failed);
  events.deadLetters(channel, deadLetters);
}
