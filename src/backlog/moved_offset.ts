/** The intent stream → the consumer's offset in PostgreSQL, and how long ago it moved. */
import type pg from "pg";
import { statement } from "../postgres/statement.ts";
import type { Offset } from "../stream_offset/stream_offset.ts";

export interface MovedOffset extends Offset {
  /** By PostgreSQL's clock. */
  readonly movedAgoMs: number;
}

const SELECT_MOVED_OFFSET = statement({ name: "moved_offset", takes: { stream: "text" } }, (p) => `
SELECT entry_id, entries_read, greatest(0, extract(epoch FROM now() - updated_at) * 1000)::float8 AS moved_ago_ms
FROM notification.stream_offsets WHERE stream = ${p.stream}`);

interface Row {
  readonly entry_id: string;
  readonly entries_read: string | null;
  readonly moved_ago_ms: number;
}

export async function selectMovedOffset(
  client: Pick<pg.ClientBase, "query">,
  stream: string,
): Promise<MovedOffset | undefined> {
  const { rows: [row] } = await client.query<Row>(SELECT_MOVED_OFFSET({ stream }));
  if (row === undefined) return undefined;
  const entriesRead = row.entries_read === null ? undefined : Number(row.entries_read);
  return { entryId: row.entry_id, entriesRead, movedAgoMs: row.moved_ago_ms };
}
