/**
 * The setting, immediately after a fault → how long it takes until everything that was sent before has its outcome.
 *
 * What is sent meanwhile is not counted, so the producer need not pause.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../tests/support/wait.ts";
import { firstNotificationId } from "./evidence.ts";
import { entryMs, notificationMs } from "./sent_entry.ts";
import { type Setting, STREAMS } from "./setting.ts";

interface Backlog {
  readonly isOver: boolean;
  readonly text: string;
}

const POLL_MS = 40;
/** More entries than are published between two polls. */
const LAST_ENTRIES = 50;

/** The last millisecond of Redis's clock that is over: no later entry can have an id of this millisecond. */
export async function watermark(setting: Setting): Promise<number> {
  // Redis may just have come back, and the harness may not be connected yet.
  const [seconds, microseconds] = await eventually(() => setting.redis.time(), { timeoutMs: 30_000 });
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000) - 1;
}

/** Describes the unfinished work on the entries up to and including `untilMs`. */
async function backlog(setting: Setting, untilMs: number): Promise<Backlog> {
  const [last] = await setting.redis.xrevrange(STREAMS.intents, untilMs, "-", "COUNT", 1);
  const [found] = await setting.query<{ entry_id: string | null; live: number; repairs: number }>(
    `SELECT (SELECT entry_id FROM notification.stream_offsets WHERE stream = $1) AS entry_id,
            (SELECT count(*)::int FROM notification.repairs WHERE finished_at IS NULL) AS repairs,
            (SELECT count(*)::int FROM notification.routes
              WHERE next_attempt_at IS NOT NULL AND notification_id < $2) AS live`,
    [STREAMS.intents, firstNotificationId(untilMs + 1)],
  );
  const offset = found?.entry_id ?? "0-0";
  const live = found?.live ?? 0;
  const repairs = found?.repairs ?? 0;
  const isRead = last === undefined || !isBefore(offset, last[0]);
  return {
    isOver: isRead && live === 0 && repairs === 0,
    text: `${
      isRead ? "all entries read" : `offset ${offset}, last entry ${last?.[0]}`
    }, ${live} live routes, ${repairs} open repairs`,
  };
}

export interface Recovery {
  readonly seconds: number;
  /** The work that was unfinished when the time was over; `undefined` after a recovery. */
  readonly left: string | undefined;
}

/** Resolves when all entries up to `untilMs` are finished, or after `timeoutSeconds`. */
export async function recovery(setting: Setting, untilMs: number, timeoutSeconds: number): Promise<Recovery> {
  const start = performance.now();
  let text = "the stores were not asked";
  for (;;) {
    try {
      const found = await backlog(setting, untilMs);
      if (found.isOver) return { seconds: (performance.now() - start) / 1000, left: undefined };
      text = found.text;
    } catch (error) {
      text = error instanceof Error ? error.message : String(error);
    }
    const seconds = (performance.now() - start) / 1000;
    if (seconds > timeoutSeconds) return { seconds, left: text };
    await sleep(POLL_MS);
  }
}

/**
 * Returns the seconds from `sinceMs` until an intent that was sent after `sinceMs` is published, or `undefined` if none
 * is published within `timeoutSeconds`.
 */
export async function resumption(
  setting: Setting,
  sinceMs: number,
  timeoutSeconds: number,
): Promise<number | undefined> {
  for (;;) {
    const isResumed = await isPublishedSince(setting, sinceMs).catch(() => false); // Redis may be unavailable again
    const seconds = (Date.now() - sinceMs) / 1000;
    if (isResumed) return seconds;
    if (seconds > timeoutSeconds) return undefined;
    await sleep(POLL_MS);
  }
}

async function isPublishedSince({ redis }: Setting, sinceMs: number): Promise<boolean> {
  const entries = await redis.xrevrange(STREAMS.push, "+", "-", "COUNT", LAST_ENTRIES);
  return entries.some(([, fields]) => notificationMs(fields[fields.indexOf("event_id") + 1]!) > sinceMs);
}

/** Whether the first of two entry ids comes before the second. */
function isBefore(one: string, other: string): boolean {
  const [oneMs, otherMs] = [entryMs(one), entryMs(other)];
  if (oneMs !== otherMs) return oneMs < otherMs;
  return Number(one.slice(one.indexOf("-") + 1)) < Number(other.slice(other.indexOf("-") + 1));
}
