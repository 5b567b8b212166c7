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
import type { Reissued, ReissueFilters } from "./reissued.ts";

export interface MalformedOptions {
  readonly filters: ReissueFilters;
  readonly catalog: Catalog;
  readonly userService: UserServiceSettings;
  readonly stream: string;
}

/** All rows of a page, up to 4 MiB each, are in memory together. */
const PAGE = 50;

export async function* malformedAgain(
  postgres: pg.Pool,
  { filters, catalog, userService, stream }: MalformedOptions,
): AsyncGenerator<Reissued> {
  const users = new UserService(userService, { clock: systemClock, observe: () => {} });
  /** Producers repeat refused intents: of those with the same key one is enough. */
  const keys = new Set<string>();
  try {
    for (let after: Position = { recordedAt: "-infinity", entryId: "" };;) {
      const rows = await rowsBehind(postgres, after, { filters, stream });
      yield* againOf(rows, { postgres, users, catalog, keys });
      if (rows.length < PAGE) return;
      const last = rows.at(-1)!;
      after = { recordedAt: last.recorded_at, entryId: last.stream_entry_id };
    }
  } finally {
    users.close();
  }
}

interface Position {
  readonly recordedAt: string;
  readonly entryId: string;
}

interface MalformedRow {
  readonly stream_entry_id: string;
  readonly failure_code: string;
  readonly raw_fields: readonly (readonly [unknown, unknown])[];
  /** As PostgreSQL writes it, with microseconds. */
  readonly recorded_at: string;
}

async function rowsBehind(
  postgres: pg.Pool,
  { recordedAt, entryId }: Position,
  { filters, stream }: Pick<MalformedOptions, "filters" | "stream">,
): Promise<MalformedRow[]> {
  const { since, type, producer, classification } = filters;
  const { rows } = await postgres.query<MalformedRow>(
    `SELECT stream_entry_id, failure_code, raw_fields, recorded_at::text AS recorded_at
     FROM notification.malformed_intents
     WHERE recorded_at >= greatest($1::timestamptz, $2::timestamptz) AND (recorded_at, stream_entry_id) > ($1, $3)
       AND stream = $4 AND ($5::text IS NULL OR notification_type = $5) AND ($6::text IS NULL OR producer = $6)
       AND ($7::text IS NULL OR failure_code = $7)
     ORDER BY recorded_at, stream_entry_id LIMIT $8`,
    [recordedAt, since, entryId, stream, type, producer, classification, PAGE],
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
