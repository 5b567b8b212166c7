/**
 * Malformed intents → those that would be accepted today, under their own keys: the current catalog allows them, the
 * User Service finds their recipients, and their key has no record.
 */
import type pg from "pg";
import { systemClock } from "../clock.ts";
import type { Catalog } from "../notification/catalog.ts";
import { KNOWN_FIELDS } from "../notification/intent_fields.ts";
import { decode } from "../notification/decode.ts";
import type { Intent } from "../notification/intent.ts";
import type { FieldValue } from "../notification/stream_entry.ts";
import { UserService, type UserServiceSettings } from "../user_service/client.ts";
import type { UserAnswer } from "../user_service/user_answer.ts";
import { LOOKED_AT, type Reissued, type ReissueFilters } from "./reissued.ts";

export interface MalformedOptions {
  readonly filters: ReissueFilters;
  readonly catalog: Catalog;
  readonly userService: UserServiceSettings;
  readonly stream: string;
}

/** At most this many rows, or this much of their compressed fields, are in memory together. */
const PAGE = 50;
const PAGE_BYTES = 32 * 1024;

export async function* malformedAgain(
  postgres: pg.Pool,
  { filters, catalog, userService, stream }: MalformedOptions,
): AsyncGenerator<Reissued> {
  const users = new UserService(userService, { clock: systemClock, observe: () => {} });
  /** Producers repeat refused intents: of those with the same key one is enough. */
  const keys = new Set<string>();
  try {
    for (let position: Position | undefined = { recordedAt: "-infinity", entryId: "" }; position !== undefined;) {
      const found: Malformed = await malformedBehind(postgres, position, { filters, stream });
      for (const page of pagesOf(found.matching)) {
        const rows = await rowsOf(postgres, page, stream);
        yield* againOf(rows, { postgres, users, catalog, keys });
      }
      yield { kind: "looked_at", count: found.count };
      position = found.end;
    }
  } finally {
    users.close();
  }
}

interface Position {
  /** As PostgreSQL writes it, to the microsecond. */
  readonly recordedAt: string;
  readonly entryId: string;
}

interface Malformed {
  /** In order, those that match the filters. */
  readonly matching: readonly Matching[];
  /** How many were looked at. */
  readonly count: number;
  /** The last of them; absent where there are no more. */
  readonly end: Position | undefined;
}

interface Matching {
  readonly entryId: string;
  /** What `raw_fields` takes in PostgreSQL, compressed. */
  readonly keptBytes: number;
}

async function malformedBehind(
  postgres: pg.Pool,
  { recordedAt, entryId }: Position,
  { filters: { since, type, producer, classification }, stream }: Pick<MalformedOptions, "filters" | "stream">,
): Promise<Malformed> {
  const { rows: [found] } = await postgres.query<
    { ids: string[] | null; bytes: number[]; count: number; last_recorded_at: string; last_id: string }
  >(
    `WITH looked_at AS MATERIALIZED (
       SELECT stream, stream_entry_id, recorded_at, notification_type, producer, failure_code,
         pg_column_size(raw_fields) AS kept_bytes
       FROM notification.malformed_intents
       WHERE recorded_at >= greatest($1::timestamptz, $2::timestamptz) AND (recorded_at, stream_entry_id) > ($1, $3)
       ORDER BY recorded_at, stream_entry_id LIMIT $4
     ), wanted AS (
       SELECT array_agg(stream_entry_id ORDER BY recorded_at, stream_entry_id) AS ids,
         array_agg(kept_bytes ORDER BY recorded_at, stream_entry_id) AS bytes
       FROM looked_at
       WHERE stream = $5 AND ($6::text IS NULL OR notification_type = $6) AND ($7::text IS NULL OR producer = $7)
         AND ($8::text IS NULL OR failure_code = $8)
     ), last AS (
       SELECT recorded_at, stream_entry_id FROM looked_at ORDER BY recorded_at DESC, stream_entry_id DESC LIMIT 1
     )
     SELECT ids, bytes, (SELECT count(*)::int FROM looked_at) AS count,
       (SELECT recorded_at::text FROM last) AS last_recorded_at, (SELECT stream_entry_id FROM last) AS last_id
     FROM wanted`,
    [recordedAt, since, entryId, LOOKED_AT, stream, type, producer, classification],
  );
  const { ids, bytes, count, last_recorded_at, last_id } = found!;
  return {
    matching: (ids ?? []).map((entryId, at) => ({ entryId, keptBytes: bytes[at]! })),
    count,
    end: count < LOOKED_AT ? undefined : { recordedAt: last_recorded_at, entryId: last_id },
  };
}

function* pagesOf(matching: readonly Matching[]): Generator<string[]> {
  let page: string[] = [];
  let bytes = 0;
  for (const { entryId, keptBytes } of matching) {
    if (page.length > 0 && (page.length === PAGE || bytes + keptBytes > PAGE_BYTES)) {
      yield page;
      [page, bytes] = [[], 0];
    }
    page.push(entryId);
    bytes += keptBytes;
  }
  if (page.length > 0) yield page;
}

interface MalformedRow {
  readonly stream_entry_id: string;
  readonly failure_code: string;
  readonly raw_fields: readonly (readonly [unknown, unknown])[];
}

/** Those that retention has deleted meanwhile are left out. */
async function rowsOf(postgres: pg.Pool, entryIds: readonly string[], stream: string): Promise<MalformedRow[]> {
  const { rows } = await postgres.query<MalformedRow>(
    `SELECT stream_entry_id, failure_code, raw_fields FROM notification.malformed_intents
     WHERE stream = $1 AND stream_entry_id = ANY ($2) ORDER BY recorded_at, stream_entry_id`,
    [stream, entryIds],
  );
  return rows;
}

interface Today {
  readonly postgres: pg.Pool;
  readonly users: UserService;
  readonly catalog: Catalog;
  readonly keys: Set<string>;
}

async function* againOf(
  rows: readonly MalformedRow[],
  { postgres, users, catalog, keys }: Today,
): AsyncGenerator<Reissued> {
  const leftOut = (reason: string): Reissued => ({ kind: "left_out", reason });
  const intents: Intent[] = [];
  for (const row of rows) {
    const fields = fieldsOf(row);
    if (row.failure_code === "idempotency_conflict") yield leftOut("its key belongs to another request");
    else if (fields === undefined) yield leftOut("its fields were not kept whole");
    else {
      const item = decode({ id: row.stream_entry_id, fields }, catalog);
      if (item.kind === "malformed") yield leftOut(`still ${item.code}`);
      else intents.push(item);
    }
  }
  const taken = await recordedKeys(postgres, intents);
  const answers = await users.lookUp(
    intents.flatMap((intent) => intent.recipientUserIds),
    new AbortController().signal,
  );
  for (const intent of intents) {
    const key = `${intent.producer}\0${intent.idempotencyKey}`;
    const problem = problemOf(intent, answers);
    if (taken.has(key)) yield leftOut("its key has a record now");
    else if (problem !== undefined) yield leftOut(problem);
    else if (keys.has(key)) yield leftOut("an earlier one has the same key");
    else {
      keys.add(key);
      yield { kind: "intent", fields: knownFields(intent.entry.fields) };
    }
  }
}

/** `undefined` if some are missing or cut. Bytes that are not UTF-8 stay malformed in any case. */
function fieldsOf({ raw_fields }: MalformedRow): string[] | undefined {
  const values = raw_fields.flat();
  return values.length > 0 && values.every((value) => typeof value === "string") ? values as string[] : undefined;
}

/** Without unknown fields, which the service would ignore. */
function knownFields(fields: readonly FieldValue[]): string[] {
  const known: string[] = [];
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name, value] = [fields[at], fields[at + 1]] as [string, string];
    if (KNOWN_FIELDS.has(name)) known.push(name, value);
  }
  return known;
}

function problemOf({ recipientUserIds }: Intent, answers: ReadonlyMap<string, UserAnswer>): string | undefined {
  for (const id of recipientUserIds) {
    const answer = answers.get(id)!;
    switch (answer.kind) {
      case "found":
        continue;
      case "not_found":
        return "still recipient_not_found";
      case "invalid":
        return "still invalid_recipients";
      case "unavailable":
        return `the User Service is unavailable: ${answer.reason}`;
      default:
        return answer satisfies never;
    }
  }
  return undefined;
}

async function recordedKeys(postgres: pg.Pool, intents: readonly Intent[]): Promise<Set<string>> {
  const { rows } = await postgres.query<{ producer: string; idempotency_key: string }>(
    `SELECT record.producer, record.idempotency_key
     FROM unnest($1::text[], $2::text[]) AS wanted (producer, idempotency_key), LATERAL (
       SELECT producer, idempotency_key FROM notification.records AS record
       WHERE record.producer = wanted.producer AND record.idempotency_key = wanted.idempotency_key
       OFFSET 0
     ) AS record`,
    [intents.map(({ producer }) => producer), intents.map(({ idempotencyKey }) => idempotencyKey)],
  );
  return new Set(rows.map(({ producer, idempotency_key }) => `${producer}\0${idempotency_key}`));
}
