/**
 * Settlements → PostgreSQL. Only live routes are moved, so that a route makes legal moves only, and each once; whether its
 * row is locked by a claim or not, nothing is recorded over what another publisher has recorded.
 */
import type pg from "pg";
import { joinColumn, SEPARATOR } from "../postgres/columns.ts";
import { allAnswered } from "../postgres/transaction.ts";
import type { Settlement } from "./settle.ts";

type Queryable = Pick<pg.ClientBase, "query">;
type Published = Extract<Settlement, { kind: "published" }>;
type Failed = Extract<Settlement, { kind: "failed" }>;
type DeadLetter = Extract<Settlement, { kind: "dead_letter" }>;

const MAX_MESSAGE_CHARACTERS = 500;

/**
 * Sends one statement for each kind of settlement there is; resolves when all are done. Whether every route that is
 * published is recorded as such.
 */
export async function recordSettlements(client: Queryable, settlements: readonly Settlement[]): Promise<boolean> {
  const published = settlements.filter((item): item is Published => item.kind === "published");
  const failed = settlements.filter((item): item is Failed => item.kind === "failed");
  const deadLetters = settlements.filter((item): item is DeadLetter => item.kind === "dead_letter");
  const [recorded] = await allAnswered([
    published.length > 0 ? recordPublished(client, published) : 0,
    failed.length > 0 ? recordFailed(client, failed) : undefined,
    deadLetters.length > 0 ? recordDeadLetters(client, deadLetters) : undefined,
  ]);
  return recorded === published.length;
}

/** How many of them were live. */
async function recordPublished(client: Queryable, published: readonly Published[]): Promise<number> {
  const { rowCount } = await client.query({
    name: "record_published",
    text: `
      UPDATE notification.routes AS route
      SET status = 'published', attempt_count = attempt_count + 1, next_attempt_at = NULL,
        published_entry_id = outcome.entry_id, updated_at = now()
      FROM unnest(string_to_array($2, $1)::uuid[], string_to_array($3, $1), string_to_array($4, $1))
        AS outcome (notification_id, route_id, entry_id)
      WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
        AND route.status IN ('pending', 'failed')`,
    values: [SEPARATOR, ...routeKeys(published), joinColumn(published.map(({ entryId }) => entryId))],
  });
  return rowCount ?? 0;
}

async function recordFailed(client: Queryable, failed: readonly Failed[]): Promise<void> {
  await client.query({
    text: `
      UPDATE notification.routes AS route
      SET status = 'failed', attempt_count = attempt_count + 1, last_error_classification = outcome.classification,
        last_error_message = outcome.message, updated_at = now(),
        next_attempt_at = clock_timestamp() + outcome.retry_in_ms * interval '1 millisecond'
      FROM unnest(string_to_array($2, $1)::uuid[], string_to_array($3, $1), string_to_array($4, $1),
          string_to_array($5, $1), string_to_array($6, $1)::int[], string_to_array($7, $1)::int8[])
        AS outcome (notification_id, route_id, classification, message, attempts_before, retry_in_ms)
      WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
        AND route.status IN ('pending', 'failed') AND route.attempt_count = outcome.attempts_before`,
    values: [
      SEPARATOR,
      ...routeKeys(failed),
      ...failures(failed),
      joinColumn(failed.map(({ retryInMs }) => retryInMs)),
    ],
  });
}

async function recordDeadLetters(client: Queryable, deadLetters: readonly DeadLetter[]): Promise<void> {
  await client.query({
    text: `
      WITH given_up AS (
        UPDATE notification.routes AS route
        SET status = 'dead_letter', attempt_count = attempt_count + 1, next_attempt_at = NULL,
          last_error_classification = outcome.classification, last_error_message = outcome.message, updated_at = now()
        FROM unnest(string_to_array($2, $1)::uuid[], string_to_array($3, $1), string_to_array($4, $1),
            string_to_array($5, $1), string_to_array($6, $1)::int[])
          AS outcome (notification_id, route_id, classification, message, attempts_before)
        WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
          AND route.status IN ('pending', 'failed') AND route.attempt_count = outcome.attempts_before
        RETURNING route.*
      )
      INSERT INTO notification.dead_letters (
        notification_id, route_id, channel, recipient, attempt_count, max_attempts, failure_classification,
        failure_message, created_at)
      SELECT notification_id, route_id, channel, recipient, attempt_count, max_attempts, last_error_classification,
        last_error_message, now()
      FROM given_up`,
    values: [SEPARATOR, ...routeKeys(deadLetters), ...failures(deadLetters)],
  });
}

function routeKeys(settlements: readonly Settlement[]): [string, string] {
  return [
    joinColumn(settlements.map(({ route }) => route.record.notificationId)),
    joinColumn(settlements.map(({ route }) => route.routeId)),
  ];
}

/** What went wrong, and with how many attempts before it: of two publishers that fail at once, one counts. */
function failures(settlements: readonly (Failed | DeadLetter)[]): [string, string, string] {
  return [
    joinColumn(settlements.map(({ failure }) => failure.classification)),
    joinColumn(settlements.map(({ failure }) => storable(failure.message))),
    joinColumn(settlements.map(({ route }) => route.attemptCount)),
  ];
}

function storable(message: string): string {
  // An empty column value would be NULL.
  return [...message.replaceAll("\0", "\ufffd")].slice(0, MAX_MESSAGE_CHARACTERS).join("") || "no message";
}
