/** Rows of malformed intents, dead letters, routes or repairs → lines for people. Pure. */
import type { DeadLetterRow, Found, MalformedRow, RepairRow, RouteRow } from "./inspect_rows.ts";
import { type Cell, paint, table, wrap } from "./terminal.ts";
import { duration, relative } from "./time_words.ts";

export function malformedLines(rows: readonly MalformedRow[], nowMs: number): string[] {
  return withDetails(
    table(
      ["RECORDED", "CODE", "ENTRY"],
      rows.map((row): Cell[] => [
        relative(row.recorded_at, nowMs),
        ["red", row.failure_code],
        row.stream_entry_id,
      ]),
    ),
    rows.map((row) => [
      row.notification_type ?? "-",
      `${row.producer ?? "-"}/${row.idempotency_key ?? "-"}: ${row.failure_message}`,
    ]),
  );
}

export function deadLetterLines(rows: readonly DeadLetterRow[], nowMs: number): string[] {
  return withDetails(
    table(
      ["DIED", "CHANNEL", "ATTEMPTS", "TYPE"],
      rows.map((row): Cell[] => [
        relative(row.created_at, nowMs),
        row.channel,
        `${row.attempt_count} of ${row.max_attempts}`,
        row.notification_type ?? "-",
      ]),
    ),
    rows.map((row) => [row.notification_id, row.route_id, `${row.failure_classification}: ${row.failure_message}`]),
  );
}

export function routeLines(rows: readonly RouteRow[], nowMs: number): string[] {
  return withDetails(
    table(
      ["ACCEPTED", "STATUS", "ATTEMPTS", "TYPE"],
      rows.map((row): Cell[] => [
        relative(row.created_at, nowMs),
        styled(row.status),
        `${row.attempt_count} of ${row.max_attempts}`,
        row.notification_type,
      ]),
    ),
    rows.map((row) => {
      const next = row.next_attempt_at === null ? [] : [`next attempt ${relative(row.next_attempt_at, nowMs)}`];
      const message = row.last_error_message === null ? "" : `: ${row.last_error_message}`;
      const why = row.last_error_classification === null ? [] : [`${row.last_error_classification}${message}`];
      return [row.notification_id, row.route_id, ...next, ...why];
    }),
  );
}

export function repairLines(rows: readonly RepairRow[], nowMs: number): string[] {
  return withDetails(
    table(
      ["DETECTED", "ROUTES", "STATE", "STREAM"],
      rows.map((row): Cell[] => [relative(row.detected_at, nowMs), String(row.routes), repairState(row), row.stream]),
    ),
    rows.map((row) => [`lost: the entries after ${row.lost_after}, up to ${row.lost_up_to}`]),
  );
}

export function repairState({ detected_at, finished_at }: Pick<RepairRow, "detected_at" | "finished_at">): Cell {
  if (finished_at === null) return ["yellow", "open"];
  return ["green", `finished in ${duration(finished_at.getTime() - detected_at.getTime())}`];
}

/** A message about rows that were left out, for standard error; `undefined` if there are none. */
export function leftOut({ onlyNewest }: Pick<Found<unknown>, "onlyNewest">): string | undefined {
  if (onlyNewest === undefined) return undefined;
  return `only the newest ${onlyNewest} rows were looked at, since all of them take too long; use --since`;
}

const STATUS_STYLE = { failed: "yellow", dead_letter: "red", published: "green" } as const;

export function styled(status: string): Cell {
  const style = Object.hasOwn(STATUS_STYLE, status) ? STATUS_STYLE[status as keyof typeof STATUS_STYLE] : undefined;
  return style === undefined ? status : [style, status];
}

/** A table's lines with paragraphs under each row, where ids are not cut, each at the beginning of a line. */
function withDetails([header = "", ...rows]: readonly string[], details: readonly (readonly string[])[]): string[] {
  const below = (at: number) => (details[at] ?? []).flatMap((detail) => wrap(detail, 6));
  return [header, ...rows.flatMap((row, at) => [row, ...below(at).map((line) => paint("dim", line))])];
}
