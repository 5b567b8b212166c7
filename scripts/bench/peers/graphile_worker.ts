/**
 * Intents (`peer.ts`) → two Graphile Worker jobs for each intent → outbound entries.
 *
 * One statement adds the jobs of a batch and their dedup keys, which are kept forever in a separate table. A `jobKey`
 * would not be enough: Graphile Worker deletes a finished job with its key, so a repeated intent would be published
 * again. In three side-by-side runs, the table was also 22 to 91 % faster.
 */
import { Logger, run } from "graphile-worker";
// @ts-types="@types/pg"
import pg from "pg";
import { CHANNELS, type Delivery, type Intent } from "./intents.ts";
import { runPeer } from "./peer.ts";

// In three side-by-side runs (on a busy machine), 8 to 94 % more intents per second than with the values in the
// documentation: 24 jobs, 500 in the local queue, no delay.
const CONCURRENT_JOBS = 500;
const LOCAL_QUEUE_SIZE = 1_000;
const COMPLETE_DELAY_MS = 5;
const POOL_SIZE = 20;
// With this limit, 10,800 of 80,000 intents per second instead of 8,700; of 160,000 intents, 9,100 and 10,100 per
// second instead of 6,000 in both runs.
const MAX_WAITING = 2_000;

const CREATE_KEYS = "CREATE TABLE IF NOT EXISTS accepted (dedup_key text PRIMARY KEY)";

// With `addJobs()`, which also sends the jobs as one JSON parameter, the keys would need a separate transaction.
const ACCEPT = `
WITH intent AS (
  SELECT * FROM json_to_recordset($1) AS i("dedupKey" text, "requestId" text, payload text)
), fresh AS (
  INSERT INTO accepted (dedup_key) SELECT "dedupKey" FROM intent
  ON CONFLICT DO NOTHING
  RETURNING dedup_key
)
SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
  SELECT (channel, json_build_object('channel', channel, 'dedupKey', "dedupKey", 'requestId', "requestId",
    'payload', payload), NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec
  FROM fresh JOIN intent ON "dedupKey" = dedup_key CROSS JOIN unnest($2::text[]) AS channel
))`;

// The default logger writes to standard output. Its only warning here is about a pool smaller than the concurrency.
// This does not apply, because jobs from a local queue need no connection.
const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});

await runPeer({ maxWaiting: MAX_WAITING }, async ({ postgresDsn }, publish) => {
  const pool = new pg.Pool({ connectionString: postgresDsn, max: POOL_SIZE });
  pool.on("error", (error) => console.error(error));
  pool.on("connect", (client) => client.on("error", (error) => console.error(error)));
  await pool.query(CREATE_KEYS);
  const task = (payload: unknown) => publish(payload as Delivery);
  const runner = await run({
    pgPool: pool,
    taskList: { push: task, email: task },
    noHandleSignals: true,
    preset: {
      worker: {
        concurrentJobs: CONCURRENT_JOBS,
        localQueue: { size: LOCAL_QUEUE_SIZE },
        completeJobBatchDelay: COMPLETE_DELAY_MS,
        failJobBatchDelay: COMPLETE_DELAY_MS,
        logger,
      },
    },
  });

  return {
    async accept(intents: readonly Intent[]) {
      await pool.query(ACCEPT, [JSON.stringify(intents), CHANNELS]);
    },
    async close() {
      await runner.stop();
      await pool.end();
    },
  };
});
