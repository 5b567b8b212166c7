/**
 * PostgreSQL, as it is → leases for what it does not know any more to be published. `docs/contract.md`, section 11.
 *
 * The copy of an outbound stream's offset is set after the commit, with the number of commits. Where it is ahead of the row, commits are lost: routes that are
 * published, some of whose leases are gone, are live again or will be accepted again. The leases are set from the stream itself, before
 * anything is accepted or claimed on this server; the hand-off script then finds those routes published.
 *
 * Outcomes are not written in the order of their entries, hence the margin. A row that a backup doesn't have is replaced by the
 * offset of the intent stream: what was published after that is not in the backup.
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
  isBehindSql,
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
SET entry_id = CASE WHEN ${isBehindSql("entry_id", p.entry_id)} THEN ${p.entry_id} ELSE entry_id END,
  entries_read = greatest(entries_read, ${p.commits}), updated_at = now()
WHERE stream = ${p.stream}`);

export interface PostgresCheckOptions {
  readonly redis: RedisConnection;
  readonly postgres: pg.Pool;
  readonly outbound: readonly OutboundStream[];
  readonly intentStream: string;
  readonly leaseTtlMs: number;
  readonly clock: Clock;
  /** Called while it goes on, which may be for long. */
  readonly onProgress: () => void;
}

export interface RebuiltStream extends Rebuilt {
  readonly stream: string;
  /** What PostgreSQL has, and what it had. */
  readonly row: string;
  readonly copy: Offset;
}

/** Resolves with the server that was checked (`Session.server`), and the streams of which it had lost outcomes. */
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
    // An old connection may still lead to the server of before: the next check gets a new one.
    postgres.release(true);
  }
}

/**
 * Moves the rows to what was found in the streams, so that the next start finds nothing to do. Call this after the check of Redis, which
 * compares the rows as PostgreSQL has come back with them.
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

/** Also commits that wrote no higher entry are counted. */
function hasLostCommits(row: OffsetRow, copy: Offset): boolean {
  return compareEntryIds(copy.entryId, row.entryId) > 0 || (copy.entriesRead ?? 0) > (row.entriesRead ?? 0);
}
