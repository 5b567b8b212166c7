/**
 * The backlog → the supervisor's status line, every ten seconds while anybody listens, less often where counting takes
 * long: never more than 2 % of the time. An outage is told by the line too.
 */
import type { Clock } from "../clock.ts";
import type { Systemd } from "../lifecycle/systemd.ts";

const EVERY_MS = 10_000;
const LEAST_PAUSES = 50;

/** What the line tells of. */
export interface WaitingWork {
  readonly intents: { readonly lag: number };
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
    const begun = clock.now();
    let line: string;
    try {
      line = statusLine(await read());
    } catch {
      // The loops meet the same outage and tell of it in the log.
      line = "A dependency is out; goes on by itself";
    }
    if (!stop.aborted) systemd.status(line);
    await clock.sleep(Math.max(EVERY_MS, (clock.now() - begun) * LEAST_PAUSES), stop);
  }
}

export function statusLine({ intents, depth }: WaitingWork): string {
  const depths = Object.entries(depth).map(([channel, routes]) => `${channel} ${routes}`);
  return `Running: lag ${intents.lag}, depth ${depths.join(", ")}`;
}
