/**
 * Outcomes → PostgreSQL, one statement for each kind. A publication is written for any live route, and moves the offset
 * of its outbound stream forward; a failure or a dead letter is written only under the claim that was taken
 * (`relay/batch.ts`). A row that is not changed has the outcome of another process.
 *
 * A publication whose epoch is no longer that of its stream's row is not written: the entry may have been lost, and the
 * lease shows it when the route is due again (`redis/epoch.ts`).
 */
import type pg from "pg";
import { deliveryId } from "../notification/route.ts";
import { bigint, rows, SEPARATOR, text, timestamptz, uuid } from "../postgres/columns.ts";
import { compareEntryIds } from "../redis/entry_ids.ts";
import { isBeforeSql } from "../stream_offset/stream_offset.ts";
import { statement } from "../postgres/statement.ts";
import { storable } from "../postgres/storable.ts";
import { allAnswered } from "../postgres/transaction.ts";
import type { Publication } from "./hand_off.ts";
import type { Outcome } from "./settle.ts";

type Queryable = Pick<pg.ClientBase, "query">;
type Published = Extract<Outcome, { kind: "published" }>;
type Failed = Extract<Outcome, { kind: "failed" }>;
type DeadLetter = Extract<Outcome, { kind: "dead_letter" }>;

/** An outcome to be written: any except `unchanged`. */
export type Result = Published | Failed | DeadLetter;

const MAX_MESSAGE_CHARACTERS = 500;

/** The highest entry of a stream among outcomes, and the epoch of its server. */
export interface Move extends Publication {
  /** After writing: how many commits have written outcomes of the stream. */
  readonly commits?: number;
}

export interface WrittenOutcomes {
  /** Those that changed a row. */
  readonly written: readonly Result[];
  /** The offsets of the outbound streams, as far as the outcomes move them. */
  readonly moved: readonly Move[];
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

/** How many kinds of outcome there are. Each kind has a statement of its own. */
export function kindsOf(results: readonly Result[]): number {
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

const PUBLISHED = rows<Published>()({ ...KEY, entry_id: text(({ publication }) => publication.entryId) });

const MOVES = rows<Move>()({
  stream: text(({ stream }) => stream),
  epoch: text(({ epoch }) => epoch),
  entry_id: text(({ entryId }) => entryId),
});

// The rows of the offsets are locked first, always in the same order: no check of a new server can begin to search for
// losses before this commits.
const WRITE_PUBLISHED = statement(
  { name: "write_published", takes: { outcome: PUBLISHED, move: MOVES, sent: "integer", moves: "integer" } },
  (p) => `
WITH live AS MATERIALIZED (
  SELECT move.stream, move.entry_id
  FROM notification.stream_offsets AS known
  JOIN ${p.move()} ON known.stream = move.stream AND known.redis_epoch = move.epoch
  ORDER BY known.stream
  FOR NO KEY UPDATE OF known
), moved AS (
  UPDATE notification.stream_offsets AS known
  SET entry_id = CASE WHEN ${isBeforeSql("known.entry_id", "live.entry_id")} THEN live.entry_id ELSE known.entry_id END,
    entries_read = coalesce(known.entries_read, 0) + 1, updated_at = now()
  FROM live
  WHERE known.stream = live.stream AND (SELECT count(*) FROM live) = ${p.moves}
  RETURNING known.stream, known.entry_id, known.entries_read
), written AS (
  UPDATE notification.routes AS route
  SET status = 'published', attempt_count = attempt_count + 1, next_attempt_at = NULL,
    published_entry_id = outcome.entry_id, updated_at = now()
  FROM ${p.outcome()}
  WHERE route.notification_id = outcome.notification_id AND route.route_id = outcome.route_id
    AND route.status IN ('pending', 'failed') AND (SELECT count(*) FROM live) = ${p.moves}
  RETURNING route.notification_id, route.route_id
)
SELECT count(*)::int AS written, CASE WHEN count(*) < ${p.sent} THEN string_agg(notification_id || '/' || route_id, $1) END AS ids,
  (SELECT json_agg(json_build_object('stream', stream, 'entryId', entry_id, 'commits', entries_read)) FROM moved) AS moved
FROM written`,
);

/** Writes all publications, or only those whose epochs are not over. */
async function writePublished(client: Queryable, published: readonly Published[]): Promise<WrittenOutcomes> {
  const moves = movesOf(published);
  const whole = await writeUnderMoves(client, published, moves);
  if (whole !== undefined) return { ...whole, hasStale: false };
  const parts: WrittenOutcomes[] = [];
  for (const move of moves) {
    const some = published.filter(({ publication }) => isOf(publication, move));
    const part = await writeUnderMoves(client, some, [move]);
    if (part !== undefined) parts.push({ ...part, hasStale: true });
  }
  return {
    written: parts.flatMap(({ written }) => written),
    moved: parts.flatMap(({ moved }) => moved),
    hasStale: true,
  };
}

/** `undefined`, with nothing changed, if one of the epochs is over. */
async function writeUnderMoves(
  client: Queryable,
  published: readonly Published[],
  moves: readonly Move[],
): Promise<Pick<WrittenOutcomes, "written" | "moved"> | undefined> {
  const values = { outcome: published, move: moves, sent: published.length, moves: moves.length };
  const { rows } = await client.query<WrittenUnderMoves>(WRITE_PUBLISHED(values));
  const { moved } = rows[0]!;
  if (moved === null) return undefined;
  return {
    written: writtenOf(published, rows[0]!),
    moved: moved.map((row) => ({ ...row, epoch: moves.find(({ stream }) => stream === row.stream)!.epoch })),
  };
}

interface WrittenUnderMoves extends Written {
  readonly moved: readonly Required<Omit<Move, "epoch">>[] | null;
}

/** One for each stream and epoch. */
function movesOf(published: readonly Published[]): readonly Move[] {
  const moves: Move[] = [];
  let at = -1;
  for (const { publication } of published) {
    if (!isOf(publication, moves[at])) at = moves.findIndex((move) => isOf(publication, move));
    if (at < 0) at = moves.push(publication) - 1;
    else if (compareEntryIds(publication.entryId, moves[at]!.entryId) > 0) moves[at] = publication;
  }
  return moves;
}

function isOf({ stream, epoch }: Publication, move: Move | undefined): boolean {
  return stream === move?.stream && epoch === move.epoch;
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
