/**
 * A PostgreSQL server that may have lost commits → leases for the routes whose publication it has lost
 * (docs/contract.md, section 11).
 *
 * The copy of an outbound stream's offset is set after the commit, with the number of commits. If the copy is ahead of
 * the row, commits are lost: published routes, some of them without a lease, are live again or will be accepted again.
 * Their leases are rebuilt from the stream before anything is accepted or claimed on this server, so that the hand-off
 * script finds those routes published.
 *
 * The margin is needed because outcomes are not written in the order of their entries. If a backup has no row for an
 * outbound stream, the offset of the intent stream is used: publications after it are not in the backup.
 */
import type pg from "pg";
import type { Clock } from "../clock.ts";
import { OutageError } from "../lifecycle/outage.ts";
import { SERVER_SQL } from "../postgres/session.ts";
import { statement } from "../postgres/statement.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { compareEntryIds } from "../redis/entry_ids.ts";
import { entryTimeMs } from "../notification/stream_entry.ts";
import {
  isBeforeSql,
  type Offset,
  type OffsetRow,
  readCopy,
  REBUILD_MARGIN_MS,
  selectOffset,
} from "../stream_offset/stream_offset.ts";
import { type OutboundStream, ROUTE_FIELD } from "./outbound_streams.ts";
import { rebuildLeases, type Rebuilt } from "./rebuild_leases.ts";

const MOVE_FORWARD = statement({
  name: "move_outbound_offset",
  takes: { stream: "text", entry_id: "text", commits: "bigint" },
}, (p) => `
UPDATE notification.stream_offsets
SET entry_id = CASE WHEN ${isBeforeSql("entry_id", p.entry_id)} THEN ${p.entry_id} ELSE entry_id END,
  entries_read = greatest(entries_read, ${p.commits}), updated_at = now()
WHERE stream = ${p.stream}`);

export interface PostgresCheckOptions {
  readonly redis: RedisConnection;
  readonly postgres: pg.Pool;
  readonly outbound: readonly OutboundStream[];
  readonly intentStream: string;
  readonly leaseTtlMs: number;
  readonly clock: Clock;
  /** Called again and again during a check, which may take long. */
  readonly onProgress: () => void;
}

export interface RebuiltStream extends Rebuilt {
  readonly stream: string;
  /** `row`: the offset that PostgreSQL has; `copy`: the offset that it had. */
  readonly row: string;
  readonly copy: Offset;
}

/** Resolves with the server that was checked (`Session.server`), and the streams whose outcomes it had lost. */
export async function checkPostgresServer(
  options: PostgresCheckOptions,
): Promise<{ readonly server: string; readonly rebuilt: readonly RebuiltStream[] }> {
  const postgres = await options.postgres.connect();
  try {
    const { rows: [identity] } = await postgres.query<{ server: string; isStandby: boolean }>(
      `SELECT ${SERVER_SQL} AS server, pg_is_in_recovery() AS "isStandby"`,
    );
    if (identity!.isStandby) throw new OutageError("postgres", "the server is a standby (in recovery)");
    const rebuilt: RebuiltStream[] = [];
    for (const stream of options.outbound) {
      const result = await checkStream(postgres, stream, options);
      if (result !== undefined) rebuilt.push(result);
    }
    return { server: identity!.server, rebuilt };
  } finally {
    // An old connection may still lead to the previous server: the next check gets a new one.
    postgres.release(true);
  }
}

/**
 * Moves the rows to the entries that were found in the streams, so that the next start finds nothing to do. Call this
 * after the check of Redis, which has to compare the rows as PostgreSQL came back with them.
 */
export async function moveOffsetsForward(postgres: pg.Pool, rebuilt: readonly RebuiltStream[]): Promise<void> {
  for (const { stream, upTo, copy } of rebuilt) {
    await postgres.query(MOVE_FORWARD({ stream, entry_id: upTo ?? copy.entryId, commits: copy.entriesRead ?? null }));
  }
}

async function checkStream(
  postgres: pg.ClientBase,
  { channel, stream }: OutboundStream,
  { redis, intentStream, leaseTtlMs, clock, onProgress }: PostgresCheckOptions,
): Promise<RebuiltStream | undefined> {
  const { offset: copy } = await readCopy(redis, stream);
  if (copy === undefined) return undefined;
  const own = await selectOffset(postgres, stream);
  if (own !== undefined && !hasLostCommits(own, copy)) return undefined;
  const row = own ?? await selectOffset(postgres, intentStream);
  if (row === undefined || (own === undefined && compareEntryIds(copy.entryId, row.entryId) <= 0)) return undefined;
  const from = String(Math.max(0, entryTimeMs(row.entryId) - REBUILD_MARGIN_MS));
  const rebuilt = await rebuildLeases(redis, {
    stream,
    field: ROUTE_FIELD[channel],
    from,
    leaseTtlMs,
    clock,
    onPiece: onProgress,
  });
  return { ...rebuilt, stream, row: row.entryId, copy };
}

/** The number of commits also shows a lost commit that wrote no higher entry. */
function hasLostCommits(row: OffsetRow, copy: Offset): boolean {
  return compareEntryIds(copy.entryId, row.entryId) > 0 || (copy.entriesRead ?? 0) > (row.entriesRead ?? 0);
}
