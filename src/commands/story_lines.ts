/** The story of an intent → readable lines. */
import { styled } from "./inspect_lines.ts";
import type { Story, StoryRoute } from "./inspect_story.ts";
import { list, paint, table, wrap } from "./terminal.ts";
import { relative } from "./time_words.ts";
import { waitsForText } from "./waits_for.ts";

const OUTCOMES: Readonly<Record<Story["outcome"], string>> = {
  accepted: "accepted",
  malformed: "malformed",
  duplicate: "passed over as a duplicate of a record, or past its retention",
  waiting: "waits: the consumer has not reached it yet",
  unknown: "no trace of it: it never existed, or was trimmed and is past its retention",
};

export function storyLines(story: Story, nowMs: number): string[] {
  const { outcome, entry, record, malformed, routes, route_count } = story;
  const facts: [string, string][] = [["outcome", OUTCOMES[outcome]]];
  const entryId = record?.stream_entry_id ?? malformed?.stream_entry_id ?? entry?.id;
  if (entryId !== undefined) facts.push(["entry", `${entryId}${entry === null ? " (no longer in the stream)" : ""}`]);
  if (story.waits_for !== null) facts.push(["waits for", waitsForText(story.waits_for)]);
  if (malformed !== null) {
    facts.push(
      ["code", malformed.failure_code],
      ["reason", malformed.failure_message],
      ["recorded", relative(malformed.recorded_at, nowMs)],
      ["type", malformed.notification_type ?? "-"],
      ["producer", malformed.producer ?? "-"],
      ["key", malformed.idempotency_key ?? "-"],
    );
  }
  if (record === null) return [...list(facts, { margin: 2 }), ...entryLines(story)];
  facts.push(
    ["notification", record.notification_id],
    ["type", record.notification_type],
    ["producer", record.producer],
    ["key", record.idempotency_key],
    ["audience", record.audience_kind],
    ["occurred", `${record.occurred_at.toISOString()} (${relative(record.occurred_at, nowMs)})`],
    ["accepted", `${record.accepted_at.toISOString()} (${relative(record.accepted_at, nowMs)})`],
    ["payload", record.payload],
  );
  if (record.request_id !== null) facts.push(["request", record.request_id]);
  if (record.trace_id !== null) facts.push(["trace", record.trace_id]);
  return [
    ...list(facts, { margin: 2 }),
    "",
    paint("bold", `Routes (${route_count})`),
    ...routeLines(routes, nowMs),
    ...(route_count > routes.length ? [`  … and ${route_count - routes.length} more: --limit`] : []),
  ];
}

function entryLines({ entry, malformed }: Story): string[] {
  if (entry === null || malformed !== null) return [];
  const { producer = "-", idempotency_key: key = "-", notification_type: type = "-" } = entry.fields;
  return list([["type", type], ["producer", producer], ["key", key]], { margin: 2 });
}

function routeLines(routes: readonly StoryRoute[], nowMs: number): string[] {
  const [header = "", ...lines] = table(
    ["STATUS", "ATTEMPTS", "CHANNEL", "CHANGED"],
    routes.map((route) => [
      styled(route.status),
      `${route.attempt_count} of ${route.max_attempts}`,
      route.channel,
      relative(route.updated_at, nowMs),
    ]),
  );
  return [header, ...lines.flatMap((line, at) => [line, ...detailsOf(routes[at]!, nowMs)])];
}

function detailsOf(route: StoryRoute, nowMs: number): string[] {
  const details = [route.route_id];
  if (route.published_entry_id !== null) {
    details.push(
      `entry ${route.published_entry_id}${route.outbound_entry === null ? " (no longer in the stream)" : ""}`,
    );
  }
  if (route.next_attempt_at !== null) details.push(`next attempt ${relative(route.next_attempt_at, nowMs)}`);
  if (route.last_error_classification !== null) {
    const message = route.last_error_message === null ? "" : `: ${route.last_error_message}`;
    details.push(`${route.last_error_classification}${message}`);
  }
  if (route.lease !== null) details.push(`lease ${route.lease.value} for ${route.lease.ttl_ms} ms`);
  return details.flatMap((detail) => wrap(detail, 6)).map((line) => paint("dim", line));
}
