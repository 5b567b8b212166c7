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
import { rows, text, uuid } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";
import { checkedFields } from "../producer/checked_fields.ts";
import { IntentRefused } from "../producer/intent_refused.ts";
import { FILTERS, filterValues, type Reissued, type ReissueFilters, STEP } from "./reissued.ts";

export interface DeadLettersOptions {
  readonly filters: ReissueFilters;
  readonly catalog: Catalog;
}

/** All payloads of a page, up to 256 KiB each, are in memory together. */
const PAGE = 100;
const BEFORE_ALL_IDS = "00000000-0000-0000-0000-000000000000";
const AFTER_ALL_IDS = "ffffffff-ffff-ffff-ffff-ffffffffffff";

export async function* deadLettersAgain(
  postgres: pg.Pool,
  { filters, catalog }: DeadLettersOptions,
): AsyncGenerator<Reissued> {
  for (let after = BEFORE_ALL_IDS;;) {
    const upTo = await endOfStep(postgres, after);
    const ids = await idsBetween(postgres, { after, upTo: upTo ?? AFTER_ALL_IDS, filters });
    for (let at = 0; at < ids.length; at += PAGE) {
      const records = await recordsOf(postgres, ids.slice(at, at + PAGE), filters);
      const reissued = await reissuedBefore(postgres, records);
      for (const record of records) yield again(record, { catalog, reissued: reissued.get(prefixOf(record)) });
    }
    if (upTo === undefined) return;
    yield { kind: "looked_at" };
    after = upTo;
  }
}

/** `undefined` where fewer dead letters than a step are left. */
async function endOfStep(postgres: pg.Pool, after: string): Promise<string | undefined> {
  const { rows } = await postgres.query<{ notification_id: string }>(
    `SELECT notification_id FROM notification.dead_letters WHERE notification_id > $1
     ORDER BY notification_id OFFSET $2 LIMIT 1`,
    [after, STEP - 1],
  );
  return rows[0]?.notification_id;
}

const MATCHING_IDS = statement(
  { name: "dead_letters_matching", takes: { after: "uuid", up_to: "uuid", ...FILTERS } },
  (p) => `
SELECT notification_id FROM (
  SELECT DISTINCT notification_id FROM notification.dead_letters
  WHERE notification_id > ${p.after} AND notification_id <= ${p.up_to}
    AND (${p.since} IS NULL OR created_at >= ${p.since})
    AND (${p.classification} IS NULL OR failure_classification = ${p.classification})
) AS dead, LATERAL (
  SELECT notification_type, producer FROM notification.records AS record
  WHERE record.notification_id = dead.notification_id
  OFFSET 0
) AS record
WHERE (${p.type} IS NULL OR notification_type = ${p.type}) AND (${p.producer} IS NULL OR producer = ${p.producer})
ORDER BY notification_id`,
);

/** Of records with dead letters that match the filters, in order. */
async function idsBetween(
  postgres: pg.Pool,
  { after, upTo, filters }: { after: string; upTo: string; filters: ReissueFilters },
): Promise<string[]> {
  const values = { after, up_to: upTo, ...filterValues(filters) };
  const { rows } = await postgres.query<{ notification_id: string }>(MATCHING_IDS(values));
  return rows.map((row) => row.notification_id);
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

const IDS = rows<string>()({ notification_id: uuid((id) => id) });

const RECORDS = statement(
  {
    name: "records_with_dead_letters",
    takes: { wanted: IDS, since: FILTERS.since, classification: FILTERS.classification },
  },
  (p) => `
SELECT notification_type, producer, audience_kind, idempotency_key, payload::text AS payload,
  (extract(epoch FROM occurred_at) * 1000)::bigint::text AS occurred_at_ms, request_id, trace_id, traceparent,
  (SELECT array_agg(DISTINCT substr(recipient, 6) COLLATE "C" ORDER BY substr(recipient, 6) COLLATE "C")
   FROM notification.dead_letters AS dead
   WHERE dead.notification_id = record.notification_id AND recipient LIKE 'user:%'
     AND (${p.since} IS NULL OR dead.created_at >= ${p.since})
     AND (${p.classification} IS NULL OR failure_classification = ${p.classification})) AS user_ids
FROM ${p.wanted()}, LATERAL (
  SELECT * FROM notification.records AS record
  WHERE record.notification_id = wanted.notification_id
  OFFSET 0
) AS record
ORDER BY record.notification_id`,
);

async function recordsOf(
  postgres: pg.Pool,
  ids: readonly string[],
  filters: ReissueFilters,
): Promise<RecordRow[]> {
  const { since, classification } = filterValues(filters);
  return (await postgres.query<RecordRow>(RECORDS({ wanted: ids, since, classification }))).rows;
}

const PREFIXES = rows<RecordRow>()({ producer: text(({ producer }) => producer), prefix: text(prefixOf) });

const REISSUED_BEFORE = statement({ name: "reissued_before", takes: { wanted: PREFIXES } }, (p) => `
SELECT wanted.prefix, record.recipient_user_ids AS user_ids
FROM ${p.wanted()}, LATERAL (
  SELECT recipient_user_ids FROM notification.records AS record
  WHERE record.producer = wanted.producer AND record.idempotency_key >= wanted.prefix
    AND record.idempotency_key < wanted.prefix || '~'
  OFFSET 0
) AS record`);

/** Returns the users of the records for each prefix; an empty set for administrators. */
async function reissuedBefore(
  postgres: pg.Pool,
  records: readonly RecordRow[],
): Promise<Map<string, ReadonlySet<string>>> {
  const { rows } = await postgres.query<{ prefix: string; user_ids: string[] }>(REISSUED_BEFORE({ wanted: records }));
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
