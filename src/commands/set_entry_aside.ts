/**
 * An entry that intake can't pass → a row of `malformed_intents` with the code `set_aside`; if the entry is the next
 * one, the offset is also moved past it. The consumer, in any instance, finds both at its next try.
 *
 * The entry gets only this outcome: no batch is accepted meanwhile, and an entry that already has an outcome is
 * refused. Fields that Redis can't return or PostgreSQL can't store are left out.
 */
import type pg from "pg";
import { systemClock } from "../clock.ts";
import { readExactEntry } from "../intake/exact_entry.ts";
import { insertMalformed } from "../intake/reject.ts";
import { OutageError } from "../lifecycle/outage.ts";
import type { Catalog } from "../notification/catalog.ts";
import { decode } from "../notification/decode.ts";
import { type Malformed, malformedIntent } from "../notification/intent.ts";
import type { StreamEntry } from "../notification/stream_entry.ts";
import { postgresFailure } from "../postgres/failures.ts";
import { inTransaction } from "../postgres/transaction.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { BEFORE_ALL, compareEntryIds } from "../redis/entry_ids.ts";
import { RedisError } from "../redis/failures.ts";
import { moveOffset, type Offset, readCopy, selectOffset } from "../stream_offset/stream_offset.ts";
import type { Stores } from "./stores.ts";

const BEFORE_FIRST: Offset = { entryId: BEFORE_ALL, entriesRead: undefined };
const MAX_TRIES = 100;
const PAUSE_MS = 300;

export interface EntryOptions {
  readonly stream: string;
  readonly entryId: string;
}

export interface SetAsideOptions extends EntryOptions {
  /** The operator's reason, kept as the row's message. */
  readonly reason: string;
  readonly entry: StreamEntry | "unreadable";
  readonly catalog: Catalog;
}

export type SetAsideResult =
  | {
    readonly kind: "set_aside";
    /** Whether the row has the entry's fields. */
    readonly hasFields: boolean;
    /** Whether the offset was moved past it; otherwise entries before it wait too. */
    readonly isPassed: boolean;
  }
  | { readonly kind: "has_outcome"; readonly code: string | undefined };

/** `undefined` if the stream has no such entry; `unreadable` if it is too large for Redis to return in time. */
export async function readEntryToSetAside(
  redis: RedisConnection,
  { stream, entryId }: EntryOptions,
): Promise<StreamEntry | "unreadable" | undefined> {
  try {
    return await readExactEntry(redis, { stream, id: entryId });
  } catch (error) {
    if (error instanceof RedisError && error.code === "") return "unreadable";
    throw error instanceof OutageError ? error.cause : error;
  }
}

/**
 * Asks again for half a minute, because Redis does not answer while it is busy with an entry that the consumer tries to
 * read.
 */
async function askAgain<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 1;; tries++) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof RedisError && error.code === "") || tries === MAX_TRIES) throw error;
      await systemClock.sleep(PAUSE_MS);
    }
  }
}

export async function setEntryAside({ postgres, redis }: Stores, options: SetAsideOptions): Promise<SetAsideResult> {
  const { stream, entryId } = options;
  const { offset, isNext } = await askAgain(async () => {
    const offset = await selectOffset(postgres, stream) ?? (await readCopy(redis, stream)).offset ?? BEFORE_FIRST;
    return { offset, isNext: await isNextEntry(redis, { stream, entryId, offset }) };
  });
  const item = malformedOf(options);
  const record = (item: Malformed) =>
    inTransaction(postgres, (client) => recordIt(client, { ...options, item, offset, isNext }));
  try {
    return await record(item);
  } catch (error) {
    if (postgresFailure(error) !== "data" || item.isWithoutFields) throw error;
    return await record(withoutFields(options));
  }
}

/** Whether no entry is between the offset and this one. Does not read the entry itself, which may be large. */
async function isNextEntry(
  redis: RedisConnection,
  { stream, entryId, offset }: EntryOptions & { readonly offset: Offset },
): Promise<boolean> {
  const between = await redis.call("XRANGE", stream, `(${offset.entryId}`, `(${entryId}`, "COUNT", 1) as unknown[];
  return between.length === 0;
}

function malformedOf(options: SetAsideOptions): Malformed {
  const { entry, catalog, reason } = options;
  if (entry === "unreadable") return withoutFields(options);
  const decoded = decode(entry, catalog);
  if (decoded.kind === "intent") return malformedIntent(decoded, "set_aside", reason);
  return { ...decoded, code: "set_aside", message: reason };
}

function withoutFields({ entryId, reason }: SetAsideOptions): Malformed {
  return {
    kind: "malformed",
    entry: { id: entryId, fields: [] },
    code: "set_aside",
    message: reason,
    notificationType: "",
    producer: "",
    audienceKind: "",
    idempotencyKey: "",
    requestId: "",
    traceId: "",
    traceparent: "",
    isWithoutFields: true,
  };
}

interface Recording extends EntryOptions {
  readonly item: Malformed;
  /** The offset for which `isNext` holds. */
  readonly offset: Offset;
  readonly isNext: boolean;
}

async function recordIt(
  client: pg.PoolClient,
  { stream, entryId, item, offset, isNext }: Recording,
): Promise<SetAsideResult> {
  // Every acceptance takes a weaker lock on this table before its snapshot: one that has begun ends first, and a later
  // one sees the row.
  await client.query("LOCK TABLE notification.stream_offsets IN EXCLUSIVE MODE");
  const row = await selectOffset(client, stream);
  const current = row ?? offset;
  const isBehind = compareEntryIds(entryId, current.entryId) <= 0;
  if (!isBehind) await insertMalformed(client, stream, [item]);
  const code = await failureCode(client, stream, entryId);
  if (isBehind || code !== "set_aside") return { kind: "has_outcome", code };
  const isPassed = isNext && current.entryId === offset.entryId;
  if (isPassed) {
    const entriesRead = current.entriesRead === undefined ? undefined : current.entriesRead + 1;
    const from = { entryId: current.entryId, entriesRead: current.entriesRead };
    await moveOffset(client, { stream, from, to: { entryId, entriesRead } });
  }
  return { kind: "set_aside", hasFields: !item.isWithoutFields, isPassed };
}

async function failureCode(client: pg.PoolClient, stream: string, entryId: string): Promise<string | undefined> {
  const { rows } = await client.query<{ failure_code: string }>(
    "SELECT failure_code FROM notification.malformed_intents WHERE stream = $1 AND stream_entry_id = $2",
    [stream, entryId],
  );
  return rows[0]?.failure_code;
}
