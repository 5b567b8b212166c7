/**
 * Records with dead letters → a new intent for each, for the users whose routes were given up, except those for whom an
 * intent was already reissued.
 *
 * A new key begins with a part that depends only on the old key, by which the records of earlier reissues are found,
 * and ends with a part that depends on the users. The order is that of the records' ids, and so of time.
 */
import { hash } from "node:crypto";
import type pg from "pg";
import type { Catalog } from "../notification/catalog.ts";
import { checkedFields } from "../producer/checked_fields.ts";
import { IntentRefused } from "../producer/intent_refused.ts";
import { LOOKED_AT, type Reissued, type ReissueFilters } from "./reissued.ts";

export interface DeadLettersOptions {
  readonly filters: ReissueFilters;
  readonly catalog: Catalog;
}

/** All payloads of a page, up to 256 KiB each, are in memory together. */
const PAGE = 100;
const BEFORE_ALL_IDS = "00000000-0000-0000-0000-000000000000";

export async function* deadLettersAgain(
  postgres: pg.Pool,
  { filters, catalog }: DeadLettersOptions,
): AsyncGenerator<Reissued> {
  let position: Position = { notificationId: BEFORE_ALL_IDS, routeId: "" };
  for (let last = "";;) {
    const found = await deadLettersBehind(postgres, position, filters);
    // The last one's dead letters may go on behind the position.
    const ids = found.ids.filter((id) => id !== last);
    for (let at = 0; at < ids.length; at += PAGE) {
      const records = await recordsOf(postgres, ids.slice(at, at + PAGE), filters);
      const reissued = await reissuedBefore(postgres, records);
      for (const record of records) yield again(record, { catalog, reissued: reissued.get(prefixOf(record)) });
    }
    yield { kind: "looked_at", count: found.count };
    if (found.end === undefined) return;
    position = found.end;
    last = ids.at(-1) ?? last;
  }
}

interface Position {
  readonly notificationId: string;
  readonly routeId: string;
}

interface DeadLetters {
  /** Of records with dead letters that match the filters, in order. */
  readonly ids: readonly string[];
  /** How many were looked at. */
  readonly count: number;
  /** The last of them; absent where there are no more. */
  readonly end: Position | undefined;
}

async function deadLettersBehind(
  postgres: pg.Pool,
  { notificationId, routeId }: Position,
  { since, type, producer, classification }: ReissueFilters,
): Promise<DeadLetters> {
  const { rows: [found] } = await postgres.query<{ ids: string[]; count: number; last_id: string; last_route: string }>(
    `WITH looked_at AS MATERIALIZED (
       SELECT notification_id, route_id, created_at, failure_classification FROM notification.dead_letters
       WHERE (notification_id, route_id) > ($1, $2) ORDER BY notification_id, route_id LIMIT $3
     ), matching AS (
       SELECT DISTINCT notification_id FROM looked_at
       WHERE ($4::timestamptz IS NULL OR created_at >= $4) AND ($5::text IS NULL OR failure_classification = $5)
     ), wanted AS (
       SELECT notification_id FROM matching, LATERAL (
         SELECT notification_type, producer FROM notification.records AS record
         WHERE record.notification_id = matching.notification_id
         OFFSET 0
       ) AS record
       WHERE ($6::text IS NULL OR notification_type = $6) AND ($7::text IS NULL OR producer = $7)
     ), last AS (
       SELECT notification_id, route_id FROM looked_at ORDER BY notification_id DESC, route_id DESC LIMIT 1
     )
     SELECT ARRAY (SELECT notification_id::text FROM wanted ORDER BY notification_id) AS ids,
       (SELECT count(*)::int FROM looked_at) AS count,
       (SELECT notification_id FROM last) AS last_id, (SELECT route_id FROM last) AS last_route`,
    [notificationId, routeId, LOOKED_AT, since, classification, type, producer],
  );
  const { ids, count, last_id, last_route } = found!;
  const end = count < LOOKED_AT ? undefined : { notificationId: last_id, routeId: last_route };
  return { ids, count, end };
}

interface RecordRow {
  readonly notification_type: string;
  readonly producer: string;
  readonly audience_kind: string;
  readonly idempotency_key: string;
  readonly payload: string;
  readonly occurred_at_ms: string;
  readonly request_id: string | null;
  readonly trace_id: string | null;
  readonly traceparent: string | null;
  /** The users of the dead letters, sorted; null for administrators. */
  readonly user_ids: string[] | null;
}

async function recordsOf(
  postgres: pg.Pool,
  ids: readonly string[],
  { since, classification }: Pick<ReissueFilters, "since" | "classification">,
): Promise<RecordRow[]> {
  const { rows } = await postgres.query<RecordRow>(
    `SELECT notification_type, producer, audience_kind, idempotency_key, payload::text AS payload,
       (extract(epoch FROM occurred_at) * 1000)::bigint::text AS occurred_at_ms, request_id, trace_id, traceparent,
       (SELECT array_agg(DISTINCT substr(recipient, 6) COLLATE "C" ORDER BY substr(recipient, 6) COLLATE "C")
        FROM notification.dead_letters AS dead
        WHERE dead.notification_id = record.notification_id AND recipient LIKE 'user:%'
          AND ($2::timestamptz IS NULL OR dead.created_at >= $2)
          AND ($3::text IS NULL OR failure_classification = $3)) AS user_ids
     FROM notification.records AS record
     WHERE notification_id = ANY ($1::uuid[])
     ORDER BY notification_id`,
    [ids, since, classification],
  );
  return rows;
}

/** Returns the users of the records for each prefix; an empty set for administrators. */
async function reissuedBefore(
  postgres: pg.Pool,
  records: readonly RecordRow[],
): Promise<Map<string, ReadonlySet<string>>> {
  const { rows } = await postgres.query<{ prefix: string; user_ids: string[] }>(
    `SELECT wanted.prefix, record.recipient_user_ids AS user_ids
     FROM unnest($1::text[], $2::text[]) AS wanted (producer, prefix), LATERAL (
       SELECT recipient_user_ids FROM notification.records AS record
       WHERE record.producer = wanted.producer AND record.idempotency_key >= wanted.prefix
         AND record.idempotency_key < wanted.prefix || '~'
       OFFSET 0
     ) AS record`,
    [records.map(({ producer }) => producer), records.map(prefixOf)],
  );
  const reissued = new Map<string, Set<string>>();
  for (const { prefix, user_ids } of rows) {
    const users = reissued.get(prefix) ?? new Set();
    for (const id of user_ids) users.add(id);
    reissued.set(prefix, users);
  }
  return reissued;
}

function again(
  record: RecordRow,
  { catalog, reissued }: { catalog: Catalog; reissued: ReadonlySet<string> | undefined },
): Reissued {
  const userIds = record.user_ids?.filter((id) => !reissued?.has(id)) ?? [];
  const isForUsers = record.audience_kind === "user";
  if (isForUsers ? userIds.length === 0 : reissued !== undefined) {
    return { kind: "left_out", reason: "reissued before" };
  }
  try {
    const fields = checkedFields({
      notification_type: record.notification_type,
      producer: record.producer,
      audience_kind: record.audience_kind,
      recipient_user_ids_json: isForUsers ? JSON.stringify(userIds) : undefined,
      idempotency_key: `${prefixOf(record)}${digest(JSON.stringify(userIds))}`,
      occurred_at_ms: record.occurred_at_ms,
      payload_json: record.payload,
      request_id: record.request_id ?? undefined,
      trace_id: record.trace_id ?? undefined,
      traceparent: record.traceparent ?? undefined,
    }, catalog);
    return { kind: "intent", fields };
  } catch (error) {
    if (error instanceof IntentRefused) return { kind: "left_out", reason: `${error.code}: ${error.message}` };
    throw error;
  }
}

function prefixOf({ producer, idempotency_key }: Pick<RecordRow, "producer" | "idempotency_key">): string {
  return `reissue-${digest(`${producer}\0${idempotency_key}`)}-`;
}

function digest(text: string): string {
  return hash("sha256", text, "hex").slice(0, 32);
}
