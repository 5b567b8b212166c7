/**
 * Outcomes → PostgreSQL, one statement for each kind there is. A publication is written for any live route, and moves the offset of
 * its outbound stream forward; a failure and a dead letter only under the claim that was taken (`relay/batch.ts`). A row that isn't
 * changed has the outcome of another process.
 *
 * A publication of an epoch that is not the one of its stream's row any more is not written: the entry may have been lost, and the
 * lease says so when the route is due again (`redis/epoch.ts`).
 */
import type pg from "pg";
import { deliveryId } from "../notification/route.ts";
import { bigint, rows, SEPARATOR, text, timestamptz, uuid } from "../postgres/columns.ts";
import { compareEntryIds } from "../redis/entry_ids.ts";
import { isBehindSql } from "../stream_offset/stream_offset.ts";
import { statement } from "../postgres/statement.ts";
import { storable } from "../postgres/storable.ts";
import { allAnswered } from "../postgres/transaction.ts";
import type { Publication } from "./hand_off.ts";
import type { Outcome } from "./settle.ts";

type Queryable = Pick<pg.ClientBase, "query">;
type Published = Extract<Outcome, { kind: "published" }>;
type Failed = Extract<Outcome, { kind: "failed" }>;
type DeadLetter = Extract<Outcome, { kind: "dead_letter" }>;

/** What there is to write. */
export type Result = Published | Failed | DeadLetter;

const MAX_MESSAGE_CHARACTERS = 500;

/** The highest entry of a stream among outcomes that are written, and the epoch of its server. */
type Moved = Publication;

export interface WrittenOutcomes {
  /** Those that changed a row. */
  readonly written: readonly Result[];
  /** The offsets of the outbound streams, as far as the outcomes move them. */
  readonly moved: readonly Moved[];
  /** Whether publications were left out because their epoch is over. */
  readonly hasStale: boolean;
}

/** Resolves when all are written. */
export async function writeOutcomes(client: Queryable, results: readonly Result[]): Promise<WrittenOutcomes> {
  const published = results.filter((item): item is Published => item.kind === "published");
  const failed = results.filter((item): item is Failed => item.kind === "failed");
  const deadLetters = results.filter((item): item is DeadLetter => item.kind === "dead_letter");
  const [publications, ...others] = await allAnswered([
    published.length > 0 ? writePublished(client, published) : { written: published, moved: [], hasStale: false },
    failed.length > 0 ? writeFailed(client, failed) : failed,
    deadLetters.length > 0 ? writeDeadLetters(client, deadLetters) : deadLetters,
  ]);
  return { ...publications, written: [publications.written, ...others].flat() };
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

/** A publication, and which of the moves is its stream's and epoch's. */
type Moving = readonly [result: Published, move: number];

const PUBLISHED = rows<Moving>()({
  notification_id: uuid(([{ route }]) => route.record.notificationId),
  route_id: text(([{ route }]) => route.routeId),
  entry_id: text(([{ publication }]) => publication.entryId),
  move: bigint(([, move]) => move),
});

const MOVES = rows<readonly [Moved, number]>()({
  number: bigint(([, number]) => number),
  stream: text(([{ stream }]) => stream),
  epoch: text(([{ epoch }]) => epoch),
  entry_id: text(([{ entryId }]) => entryId),
});

// The rows of the offsets are locked first, always in the same order: until this commits no check of a new server can begin to
// look for what is lost.
const WRITE_PUBLISHED = statement(
  { name: "write_published", takes: { outcome: PUBLISHED, move: MOVES, sent: "integer" } },
  (p) => `
WITH live AS MATERIALIZED (
  SELECT move.number, move.stream, move.entry_id
  FROM notification.stream_offsets AS known
  JOIN ${p.move()} ON known.stream = move.stream AND known.redis_epoch = move.epoch
  ORDER BY known.stream
  FOR NO KEY UPDATE OF known
), moved AS (
  UPDATE notification.stream_offsets AS known
  SET entry_id = live.entry_id, updated_at = now()
  FROM live
  WHERE known.stream = live.stream AND ${isBehindSql("known.entry_id", "live.entry_id")}
), written AS (
  UPDATE notification.routes AS route
  SET status = 'published', attempt_count = attempt_count + 1, next_attempt_at = NULL,
    published_entry_id = outcome.entry_id, updated_at = now()
  FROM ${p.outcome()}
  WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
    AND route.status IN ('pending', 'failed') AND outcome.move IN (SELECT number FROM live)
  RETURNING route.notification_id, route.route_id
)
SELECT count(*)::int AS written, CASE WHEN count(*) < ${p.sent} THEN string_agg(notification_id || '/' || route_id, $1) END AS ids,
  ARRAY(SELECT number::int FROM live) AS live
FROM written`,
);

async function writePublished(client: Queryable, published: readonly Published[]): Promise<WrittenOutcomes> {
  const moves: Moved[] = [];
  const outcome = published.map((result) => [result, moveOf(result.publication, moves)] as const);
  const values = { outcome, move: moves.map((move, number) => [move, number] as const), sent: published.length };
  const { rows } = await client.query<Written & { readonly live: readonly number[] }>(WRITE_PUBLISHED(values));
  const { live } = rows[0]!;
  return {
    written: writtenOf(published, rows[0]!),
    moved: live.map((number) => moves[number]!),
    hasStale: live.length < moves.length,
  };
}

/** The number of the move that the publication belongs to, which it may lengthen. */
function moveOf(publication: Publication, moves: Moved[]): number {
  const number = moves.findIndex(({ stream, epoch }) => stream === publication.stream && epoch === publication.epoch);
  if (number < 0) return moves.push(publication) - 1;
  if (compareEntryIds(publication.entryId, moves[number]!.entryId) > 0) moves[number] = publication;
  return number;
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
