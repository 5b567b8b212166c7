/** Records are deleted as soon as they are finished, while the service still works on their batches. */
import { eventually } from "../../../tests/support/wait.ts";
import type { Breach } from "../facts.ts";
import { type Fault, pause } from "../fault.ts";
import type { Setting } from "../setting.ts";

/** Much longer than the retention and the cleanup interval of this fault together. */
const OVERDUE_SECONDS = 1;
const CLEANUP_TIMEOUT_MS = 10_000;

export const RETENTION_FAULTS: readonly Fault[] = [
  {
    name: "retention",
    summary: "records are kept for only 50 ms: unfinished ones must not be deleted",
    part: "instances",
    instances: [2, 3],
    profile: "default",
    isAlwaysAlone: true,
    finishedMayBeDeleted: true,
    env: { NOTIFICATION_RECORD_RETENTION: "50ms", NOTIFICATION_CLEANUP_INTERVAL: "20ms" },
    async inject({ setting, chance }) {
      // During a stall, records become older than the retention before they are finished.
      for (let stalls = chance.whole(2, 4); stalls > 0; stalls--) {
        await pause(chance.between(0.3, 1));
        setting.proxies.redis.freeze();
        await pause(chance.between(0.3, 1.5));
        setting.proxies.redis.thaw({ lose: false });
      }
      const cleaned = await eventually(async () => await countOverdue(setting) === 0, { timeoutMs: CLEANUP_TIMEOUT_MS })
        .catch(() => false);
      const breaches: Breach[] = cleaned ? [] : [{
        kind: "wrong",
        text: `${await countOverdue(setting)} finished records are kept after their time`,
      }];
      return { times: 1, breaches };
    },
  },
];

/** Counts the records that were finished long ago and should have been deleted. */
async function countOverdue(setting: Setting): Promise<number> {
  const [row] = await setting.query<{ overdue: number }>(
    `SELECT count(*)::int AS overdue FROM notification.records
      WHERE accepted_at < now() - $1 * interval '1 second'
        AND NOT EXISTS (SELECT FROM notification.routes
                         WHERE routes.notification_id = records.notification_id
                           AND (next_attempt_at IS NOT NULL OR updated_at >= now() - $1 * interval '1 second'))`,
    [OVERDUE_SECONDS],
  );
  return row?.overdue ?? 0;
}
