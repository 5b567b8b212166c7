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
import { rows, text } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";
import { UserService, type UserServiceSettings } from "../user_service/client.ts";
import type { UserAnswer } from "../user_service/user_answer.ts";
import { FILTERS, filterValues, type Reissued, type ReissueFilters, STEP } from "./reissued.ts";

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
    for (let after = "-infinity";;) {
      const upTo = await endOfStep(postgres, after, filters);
      const matching = await matchingBetween(postgres, { after, upTo: upTo ?? "infinity", filters, stream });
      for (const page of pagesOf(matching)) {
        yield* againOf(await rowsOf(postgres, page, stream), { postgres, users, catalog, keys });
      }
      if (upTo === undefined) return;
      yield { kind: "looked_at" };
      after = upTo;
    }
  } finally {
    users.close();
  }
}

const END_OF_STEP = statement(
  { name: "malformed_step", takes: { after: "timestamptz", since: "timestamptz", offset: "integer" } },
  (p) => `
SELECT recorded_at::text AS recorded_at
FROM notification.malformed_intents
WHERE recorded_at > ${p.after} AND recorded_at >= greatest(${p.after}, ${p.since})
ORDER BY malformed_intents.recorded_at
OFFSET ${p.offset}
LIMIT 1`,
);

/**
 * A time as PostgreSQL writes it, to the microsecond; `undefined` where fewer malformed intents than a step are left.
 */
async function endOfStep(postgres: pg.Pool, after: string, filters: ReissueFilters): Promise<string | undefined> {
  const { since } = filterValues(filters);
  const { rows } = await postgres.query<{ recorded_at: string }>(END_OF_STEP({ after, since, offset: STEP - 1 }));
  return rows[0]?.recorded_at;
}

interface Matching {
  readonly entryId: string;
  /** What `raw_fields` takes in PostgreSQL, compressed. */
  readonly keptBytes: number;
}

const MATCHING = statement(
  { name: "malformed_matching", takes: { after: "timestamptz", up_to: "timestamptz", stream: "text", ...FILTERS } },
  (p) => `
SELECT stream_entry_id AS entry_id, pg_column_size(raw_fields) AS kept_bytes
FROM notification.malformed_intents
WHERE recorded_at > ${p.after} AND recorded_at <= ${p.up_to} AND recorded_at >= greatest(${p.after}, ${p.since})
  AND stream = ${p.stream}
  AND (${p.type} IS NULL OR notification_type = ${p.type})
  AND (${p.producer} IS NULL OR producer = ${p.producer})
  AND (${p.classification} IS NULL OR failure_code = ${p.classification})
ORDER BY recorded_at, stream_entry_id`,
);

async function matchingBetween(
  postgres: pg.Pool,
  { after, upTo, filters, stream }:
    & { after: string; upTo: string }
    & Pick<MalformedOptions, "filters" | "stream">,
): Promise<Matching[]> {
  const values = { after, up_to: upTo, stream, ...filterValues(filters) };
  const { rows } = await postgres.query<{ entry_id: string; kept_bytes: number }>(MATCHING(values));
  return rows.map(({ entry_id, kept_bytes }) => ({ entryId: entry_id, keptBytes: kept_bytes }));
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

const KEYS = rows<Intent>()({
  producer: text(({ producer }) => producer),
  idempotency_key: text(({ idempotencyKey }) => idempotencyKey),
});

const RECORDED_KEYS = statement({ name: "recorded_keys", takes: { wanted: KEYS } }, (p) => `
SELECT record.producer, record.idempotency_key
FROM ${p.wanted()}, LATERAL (
  SELECT producer, idempotency_key FROM notification.records AS record
  WHERE record.producer = wanted.producer AND record.idempotency_key = wanted.idempotency_key
  OFFSET 0
) AS record`);

async function recordedKeys(postgres: pg.Pool, intents: readonly Intent[]): Promise<Set<string>> {
  const { rows } = await postgres.query<{ producer: string; idempotency_key: string }>(
    RECORDED_KEYS({ wanted: intents }),
  );
  return new Set(rows.map(({ producer, idempotency_key }) => `${producer}\0${idempotency_key}`));
}
