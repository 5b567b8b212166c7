/**
 * The backlog → the supervisor's status line, every ten seconds, or less often if reading the backlog takes long:
 * reading takes at most 2 % of the time. The line also shows an outage. Without a supervisor nothing is read.
 */
import type { Clock } from "../clock.ts";
import { pauseAfterMs } from "../lifecycle/pacing.ts";
import type { Systemd } from "../lifecycle/systemd.ts";
import { type IntakeStall, stallText } from "./intake_stall.ts";

const EVERY_MS = 10_000;

/** The part of the backlog that the line shows. */
export interface WaitingWork {
  readonly intents: { readonly lag: number; readonly stalledMs: number; readonly stall?: IntakeStall | undefined };
  /** Live routes by channel. */
  readonly depth: Readonly<Record<string, number>>;
}

export interface StatusReportOptions {
  readonly systemd: Pick<Systemd, "isListening" | "status">;
  readonly read: () => Promise<WaitingWork>;
  readonly stop: AbortSignal;
  readonly clock: Clock;
}

/** Resolves when `stop` aborts; never rejects. */
export async function reportStatus({ systemd, read, stop, clock }: StatusReportOptions): Promise<void> {
  if (!systemd.isListening) return;
  while (!stop.aborted) {
    const begun = clock.monotonic();
    let line: string;
    try {
      line = statusLine(await read());
    } catch {
      // The loops meet the same outage and log it.
      line = "A dependency is unavailable; the service resumes by itself";
    }
    if (!stop.aborted) systemd.status(line);
    await clock.sleep(pauseAfterMs(clock.monotonic() - begun, { minMs: EVERY_MS }), stop);
  }
}

export function statusLine({ intents, depth }: WaitingWork): string {
  const depths = Object.entries(depth).map(([channel, routes]) => `${channel} ${routes}`);
  const { lag, stalledMs, stall } = intents;
  const line = `Running: lag ${lag}, depth ${depths.join(", ")}`;
  return stall === undefined ? line : `${line}; stalled for ${Math.floor(stalledMs / 1000)} s: ${stallText(stall)}`;
}
