/**
 * Outcomes → PostgreSQL, one statement for each kind there is. A publication is written for any live route; a failure and a
 * dead letter only under the claim that was taken (`relay/batch.ts`). A row that isn't changed has the outcome of another process.
 */
import type pg from "pg";
import { deliveryId } from "../notification/route.ts";
import { bigint, rows, SEPARATOR, text, timestamptz, uuid } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";
import { storable } from "../postgres/storable.ts";
import { allAnswered } from "../postgres/transaction.ts";
import type { Outcome } from "./settle.ts";

type Queryable = Pick<pg.ClientBase, "query">;
type Published = Extract<Outcome, { kind: "published" }>;
type Failed = Extract<Outcome, { kind: "failed" }>;
type DeadLetter = Extract<Outcome, { kind: "dead_letter" }>;

/** What there is to write. */
export type Result = Published | Failed | DeadLetter;

const MAX_MESSAGE_CHARACTERS = 500;

/** Resolves when all are written, with those that changed a row. */
export async function writeOutcomes(client: Queryable, results: readonly Result[]): Promise<readonly Result[]> {
  const published = results.filter((item): item is Published => item.kind === "published");
  const failed = results.filter((item): item is Failed => item.kind === "failed");
  const deadLetters = results.filter((item): item is DeadLetter => item.kind === "dead_letter");
  const written = await allAnswered([
    published.length > 0 ? writePublished(client, published) : published,
    failed.length > 0 ? writeFailed(client, failed) : failed,
    deadLetters.length > 0 ? writeDeadLetters(client, deadLetters) : deadLetters,
  ]);
  return written.flat();
}

/** How many statements {@link writeOutcomes} sends. */
export function statementsFor(results: readonly Result[]): number {
  return new Set(results.map(({ kind }) => kind)).size;
}

const KEY = {
  notification_id: uuid<Result>(({ route }) => route.record.notificationId),
  route_id: text<Result>(({ route }) => route.routeId),
};

const FAILURE = {
  ...KEY,
  claimed_until: timestamptz<Failed | DeadLetter>(({ route }) => route.claimedUntil),
  classification: text<Failed | DeadLetter>(({ failure }) => failure.classification),
  // An empty text would be NULL.
  message: text<Failed | DeadLetter>(({ failure }) =>
    storable(failure.message, MAX_MESSAGE_CHARACTERS) || "no message"
  ),
};

const PUBLISHED = rows<Published>()({ ...KEY, entry_id: text(({ entryId }) => entryId) });

const WRITE_PUBLISHED = statement({ name: "write_published", takes: { outcome: PUBLISHED, sent: "integer" } }, (p) => `
WITH written AS (
  UPDATE notification.routes AS route
  SET status = 'published', attempt_count = attempt_count + 1, next_attempt_at = NULL,
    published_entry_id = outcome.entry_id, updated_at = now()
  FROM ${p.outcome()}
  WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
    AND route.status IN ('pending', 'failed')
  RETURNING route.notification_id, route.route_id
)
SELECT count(*)::int AS written, CASE WHEN count(*) < ${p.sent} THEN string_agg(notification_id || '/' || route_id, $1) END AS ids
FROM written`);

async function writePublished(client: Queryable, published: readonly Published[]): Promise<readonly Published[]> {
  const { rows } = await client.query<Written>(WRITE_PUBLISHED({ outcome: published, sent: published.length }));
  return writtenOf(published, rows[0]!);
}

const FAILED = rows<Failed>()({ ...FAILURE, retry_in_ms: bigint(({ retryInMs }) => retryInMs) });

const WRITE_FAILED = statement({ name: "write_failed", takes: { outcome: FAILED, sent: "integer" } }, (p) => `
WITH written AS (
  UPDATE notification.routes AS route
  SET status = 'failed', attempt_count = attempt_count + 1, last_error_classification = outcome.classification,
    last_error_message = outcome.message, updated_at = now(),
    next_attempt_at = clock_timestamp() + outcome.retry_in_ms * interval '1 millisecond'
  FROM ${p.outcome()}
  WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
    AND route.status IN ('pending', 'failed') AND route.next_attempt_at = outcome.claimed_until
  RETURNING route.notification_id, route.route_id
)
SELECT count(*)::int AS written, CASE WHEN count(*) < ${p.sent} THEN string_agg(notification_id || '/' || route_id, $1) END AS ids
FROM written`);

async function writeFailed(client: Queryable, failed: readonly Failed[]): Promise<readonly Failed[]> {
  const { rows } = await client.query<Written>(WRITE_FAILED({ outcome: failed, sent: failed.length }));
  return writtenOf(failed, rows[0]!);
}

const DEAD_LETTERS = rows<DeadLetter>()(FAILURE);

const WRITE_DEAD_LETTERS = statement(
  { name: "write_dead_letters", takes: { outcome: DEAD_LETTERS, sent: "integer" } },
  (p) => `
WITH written AS (
  UPDATE notification.routes AS route
  SET status = 'dead_letter', attempt_count = attempt_count + 1, next_attempt_at = NULL,
    last_error_classification = outcome.classification, last_error_message = outcome.message, updated_at = now()
  FROM ${p.outcome()}
  WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
    AND route.status IN ('pending', 'failed') AND route.next_attempt_at = outcome.claimed_until
  RETURNING route.*
), letters AS (
  INSERT INTO notification.dead_letters (
    notification_id, route_id, channel, recipient, attempt_count, max_attempts, failure_classification, failure_message,
    created_at)
  SELECT notification_id, route_id, channel, recipient, attempt_count, max_attempts, last_error_classification,
    last_error_message, now()
  FROM written
)
SELECT count(*)::int AS written, CASE WHEN count(*) < ${p.sent} THEN string_agg(notification_id || '/' || route_id, $1) END AS ids
FROM written`,
);

async function writeDeadLetters(client: Queryable, letters: readonly DeadLetter[]): Promise<readonly DeadLetter[]> {
  const { rows } = await client.query<Written>(WRITE_DEAD_LETTERS({ outcome: letters, sent: letters.length }));
  return writtenOf(letters, rows[0]!);
}

/** How many rows were changed, and which ones if not all. */
interface Written {
  readonly written: number;
  readonly ids: string | null;
}

function writtenOf<Item extends Result>(items: readonly Item[], { written, ids }: Written): readonly Item[] {
  if (written === items.length) return items;
  const changed = new Set(ids?.split(SEPARATOR));
  return items.filter(({ route }) => changed.has(deliveryId(route)));
}
