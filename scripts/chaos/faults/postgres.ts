/**
 * PostgreSQL is stopped and started again, breaks connections, has no connection left, or blocks statements on a lock.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { type Fault, pause, repeatFor, type Scene } from "../fault.ts";
import { MAX_CONNECTIONS } from "../setting.ts";

const OF_THE_SERVICE = "application_name LIKE 'notification-service/%'";

export const POSTGRES_FAULTS: readonly Fault[] = [
  restart("fast", "breaks connections"),
  restart("immediate", "recovers at the next start"),
  {
    name: "postgres-terminate",
    summary: "backends are terminated one after another",
    part: "postgres",
    async inject({ setting, chance }) {
      let times = 0;
      await repeatFor(chance, { seconds: chance.between(1.5, 3), pauses: [0, 0.08] }, async () => {
        const max = chance.oneIn(5) ? 100 : 1;
        times += (await setting.query(
          `SELECT pg_terminate_backend(pid) FROM (
             SELECT pid FROM pg_stat_activity WHERE ${OF_THE_SERVICE}
             ORDER BY (xact_start IS NULL)::int, random() LIMIT $1) AS victim`,
          [max],
        )).length;
      });
      return { times };
    },
  },
  {
    name: "postgres-connections",
    summary: "other clients use all connections",
    part: "postgres",
    outage: "postgres",
    async inject(scene) {
      const taken: pg.Client[] = [];
      const own = await scene.setting.pool.connect(); // while some are still free
      try {
        const end = performance.now() + scene.chance.between(1.5, 3) * 1000;
        while (performance.now() < end) {
          await takeConnections(scene, taken);
          await own.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE ${OF_THE_SERVICE}`);
          await pause(0.02);
        }
      } finally {
        own.release();
        await Promise.all(taken.map((client) => client.end().catch(() => {})));
      }
      return { times: 1, note: `${taken.length} connections` };
    },
  },
  {
    name: "postgres-lock",
    summary: "a lock on routes is held for longer than a statement may take",
    part: "postgres",
    outage: "postgres",
    async inject({ setting, chance }) {
      const seconds = chance.between(2.3, 4);
      const client = await setting.pool.connect();
      try {
        await client.query("BEGIN");
        await client.query("LOCK TABLE notification.routes IN ACCESS EXCLUSIVE MODE");
        await pause(seconds);
        await client.query("ROLLBACK");
      } finally {
        client.release();
      }
      return { times: 1, note: `${seconds.toFixed(1)} s` };
    },
  },
];

function restart(mode: "fast" | "immediate", summary: string): Fault {
  return {
    name: `postgres-${mode}`,
    summary: `PostgreSQL is stopped (${mode}: ${summary}) and started`,
    part: "postgres",
    outage: "postgres",
    async inject({ setting, chance }) {
      const { postgresServer, proxies: { postgres } } = setting;
      const seconds = chance.between(0, 2);
      const refuses = chance.oneIn(2);
      await postgresServer.stop(mode);
      if (refuses) postgres.refuse();
      await pause(seconds);
      await postgresServer.start();
      if (refuses) postgres.accept();
      return { times: 1, note: `${seconds.toFixed(1)} s${refuses ? ", connections refused" : ""}` };
    },
  };
}

/** Opens connections until no more are free. */
async function takeConnections({ setting }: Scene, taken: pg.Client[]): Promise<void> {
  const fresh = Array.from({ length: MAX_CONNECTIONS }, async () => {
    const client = new pg.Client({ connectionString: setting.dsn, connectionTimeoutMillis: 5000 });
    client.on("error", () => {}); // the client only occupies a connection
    await client.connect();
    taken.push(client);
  });
  await Promise.allSettled(fresh);
}
