/**
 * Settlements → PostgreSQL. Only live routes are moved, so that a route makes legal moves only, and each once; whether its
 * row is locked by a claim or not, nothing is recorded over what another publisher has recorded.
 */
import type pg from "pg";
import { deliveryId } from "../notification/route.ts";
import { joinColumn, SEPARATOR } from "../postgres/columns.ts";
import { allAnswered } from "../postgres/transaction.ts";
import type { Settlement } from "./settle.ts";

type Queryable = Pick<pg.ClientBase, "query">;
type Published = Extract<Settlement, { kind: "published" }>;
type Failed = Extract<Settlement, { kind: "failed" }>;
type DeadLetter = Extract<Settlement, { kind: "dead_letter" }>;

const MAX_MESSAGE_CHARACTERS = 500;

/**
 * Sends one statement for each kind of settlement there is; resolves when all are done, with those that were recorded: all
 * that change something, unless another publisher was first.
 */
export async function recordSettlements(
  client: Queryable,
  settlements: readonly Settlement[],
): Promise<readonly Settlement[]> {
  const published = settlements.filter((item): item is Published => item.kind === "published");
  const failed = settlements.filter((item): item is Failed => item.kind === "failed");
  const deadLetters = settlements.filter((item): item is DeadLetter => item.kind === "dead_letter");
  const recorded = await allAnswered([
    published.length > 0 ? recordPublished(client, published) : published,
    failed.length > 0 ? recordFailed(client, failed) : failed,
    deadLetters.length > 0 ? recordDeadLetters(client, deadLetters) : deadLetters,
  ]);
  return recorded.flat();
}

/** How many statements {@link recordSettlements} sends. */
export function statementsFor(settlements: readonly Settlement[]): number {
  const kinds = new Set(settlements.map(({ kind }) => kind));
  kinds.delete("unchanged");
  return kinds.size;
}

/** Ends each statement: how many rows were changed, and which if not all. */
const RECORDED = `
      SELECT count(*)::int, CASE WHEN count(*) < $2 THEN string_agg(notification_id || '/' || route_id, $1) END
      FROM recorded`;

async function recordPublished(client: Queryable, published: readonly Published[]): Promise<readonly Published[]> {
  const { rows } = await client.query<Recorded>({
    name: "record_published",
    rowMode: "array",
    text: `
      WITH recorded AS (
        UPDATE notification.routes AS route
        SET status = 'published', attempt_count = attempt_count + 1, next_attempt_at = NULL,
          published_entry_id = outcome.entry_id, updated_at = now()
        FROM unnest(string_to_array($3, $1)::uuid[], string_to_array($4, $1), string_to_array($5, $1))
          AS outcome (notification_id, route_id, entry_id)
        WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
          AND route.status IN ('pending', 'failed')
        RETURNING route.notification_id, route.route_id
      )${RECORDED}`,
    values: [...routeKeys(published), joinColumn(published.map(({ entryId }) => entryId))],
  });
  return recordedOf(published, rows[0]!);
}

async function recordFailed(client: Queryable, failed: readonly Failed[]): Promise<readonly Failed[]> {
  const { rows } = await client.query<Recorded>({
    rowMode: "array",
    text: `
      WITH recorded AS (
        UPDATE notification.routes AS route
        SET status = 'failed', attempt_count = attempt_count + 1, last_error_classification = outcome.classification,
          last_error_message = outcome.message, updated_at = now(),
          next_attempt_at = clock_timestamp() + outcome.retry_in_ms * interval '1 millisecond'
        FROM unnest(string_to_array($3, $1)::uuid[], string_to_array($4, $1), string_to_array($5, $1),
            string_to_array($6, $1), string_to_array($7, $1)::int[], string_to_array($8, $1)::int8[])
          AS outcome (notification_id, route_id, classification, message, attempts_before, retry_in_ms)
        WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
          AND route.status IN ('pending', 'failed') AND route.attempt_count = outcome.attempts_before
        RETURNING route.notification_id, route.route_id
      )${RECORDED}`,
    values: [...routeKeys(failed), ...failures(failed), joinColumn(failed.map(({ retryInMs }) => retryInMs))],
  });
  return recordedOf(failed, rows[0]!);
}

async function recordDeadLetters(
  client: Queryable,
  deadLetters: readonly DeadLetter[],
): Promise<readonly DeadLetter[]> {
  const { rows } = await client.query<Recorded>({
    rowMode: "array",
    text: `
      WITH recorded AS (
        UPDATE notification.routes AS route
        SET status = 'dead_letter', attempt_count = attempt_count + 1, next_attempt_at = NULL,
          last_error_classification = outcome.classification, last_error_message = outcome.message, updated_at = now()
        FROM unnest(string_to_array($3, $1)::uuid[], string_to_array($4, $1), string_to_array($5, $1),
            string_to_array($6, $1), string_to_array($7, $1)::int[])
          AS outcome (notification_id, route_id, classification, message, attempts_before)
        WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
          AND route.status IN ('pending', 'failed') AND route.attempt_count = outcome.attempts_before
        RETURNING route.*
      ), letters AS (
        INSERT INTO notification.dead_letters (
          notification_id, route_id, channel, recipient, attempt_count, max_attempts, failure_classification,
          failure_message, created_at)
        SELECT notification_id, route_id, channel, recipient, attempt_count, max_attempts, last_error_classification,
          last_error_message, now()
        FROM recorded
      )${RECORDED}`,
    values: [...routeKeys(deadLetters), ...failures(deadLetters)],
  });
  return recordedOf(deadLetters, rows[0]!);
}

type Recorded = [count: number, ids: string | null];

function recordedOf<Item extends Settlement>(items: readonly Item[], [count, ids]: Recorded): readonly Item[] {
  if (count === items.length) return items;
  const recorded = new Set(ids?.split(SEPARATOR));
  return items.filter(({ route }) => recorded.has(deliveryId(route)));
}

/** Separator, number of routes, and their keys. */
function routeKeys(settlements: readonly Settlement[]): [string, number, string, string] {
  return [
    SEPARATOR,
    settlements.length,
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
