/** What retention deletes → metrics and logs. */
import type { Instruments } from "../telemetry/instruments.ts";
import { loggerOf } from "../telemetry/logger.ts";

export type RetentionEvents = ReturnType<typeof createRetentionEvents>;

export function createRetentionEvents(instruments: Instruments) {
  const logger = loggerOf("retention_cleaner");
  return {
    /** Rows deleted by one run, by table. */
    cleaned(rows: Readonly<Record<string, number>>): void {
      for (const [table, number] of Object.entries(rows)) if (number > 0) instruments.deleted.add(number, { table });
      logger.info("cleaned", { ...rows });
    },
  };
}
