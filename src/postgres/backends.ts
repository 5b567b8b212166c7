/**
 * The server's processes that a pool's connections have, and those of closed connections that are still at work.
 *
 * A COMMIT that waits for a synchronous standby is bounded by nothing on the server: neither `statement_timeout` nor the end
 * of its client ends it. Each one that is given up would leave a process behind, until the server takes no more connections.
 * To cancel it would make it a commit that no standby has. So they are counted, and no connection is opened while there are
 * as many as the pool may have connections: with the pool's own, less than twice as many.
 */
import type pg from "pg";

export class Backends {
  readonly #open = new Map<pg.ClientBase, number>();
  /** Of connections that are closed on this side. */
  readonly #closed = new Set<number>();
  readonly #operationTimeoutMs: number;

  constructor(operationTimeoutMs: number) {
    this.#operationTimeoutMs = operationTimeoutMs;
  }

  /** How many connections are open, those that are being opened left out. */
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

  /** How many processes of closed connections are at work, asked for over a new connection. Never rejects. */
  async atWork(client: pg.ClientBase): Promise<number> {
    if (this.#closed.size === 0) return 0;
    const asked = [...this.#closed];
    try {
      // Those past a statement's bound count: a pooler may have lent the process to a client whose statements end in time.
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
      // A role that may not look works without the bound; a connection that broke says so at its first statement.
      return 0;
    }
  }
}
