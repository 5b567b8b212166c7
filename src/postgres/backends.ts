/**
 * Counts the server processes of a pool's connections, and those of closed connections that still work.
 *
 * A COMMIT that waits for a synchronous standby has no bound on the server: neither `statement_timeout` nor the end of
 * its client ends it. Each COMMIT that the pool gives up leaves a process behind, until the server accepts no more
 * connections. Cancelling it would create a commit that no standby has. So these processes are counted, and no
 * connection is opened while they are as many as the pool's maximum: in total there are less than twice as many.
 */
import type pg from "pg";

export class Backends {
  readonly #open = new Map<pg.ClientBase, number>();
  /** The process ids of connections that are closed on this side. */
  readonly #closed = new Set<number>();
  readonly #operationTimeoutMs: number;

  constructor(operationTimeoutMs: number) {
    this.#operationTimeoutMs = operationTimeoutMs;
  }

  /** How many connections are open, without those that are being opened. */
  get size(): number {
    return this.#open.size;
  }

  opened(client: pg.ClientBase, pid: number): void {
    this.#closed.delete(pid);
    this.#open.set(client, pid);
    client.once("end", () => {
      this.#open.delete(client);
      this.#closed.add(pid);
    });
  }

  /** Asks over a new connection how many processes of closed connections still work. Never rejects. */
  async atWork(client: pg.ClientBase): Promise<number> {
    if (this.#closed.size === 0) return 0;
    const asked = [...this.#closed];
    try {
      // Only processes past the bound of a statement count: a pooler may have lent the others to clients whose
      // statements end in time.
      const { rows } = await client.query<{ pid: number; isOverdue: boolean }>(
        `SELECT pid, query_start < clock_timestamp() - $2 * interval '1 millisecond' AS "isOverdue"
         FROM pg_stat_activity
         WHERE pid = ANY($1) AND pid <> pg_backend_pid() AND usename = current_user AND state <> 'idle'
           AND application_name = current_setting('application_name')`,
        [asked, this.#operationTimeoutMs],
      );
      for (const pid of asked) this.#closed.delete(pid);
      for (const { pid } of rows) this.#closed.add(pid);
      return rows.filter(({ isOverdue }) => isOverdue).length;
    } catch {
      // Without the right to look, the role works without this bound; a broken connection fails at its first statement.
      return 0;
    }
  }
}
