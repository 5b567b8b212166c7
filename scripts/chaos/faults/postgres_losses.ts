/**
 * PostgreSQL comes back without some commits: its data directory is replaced by a copy some seconds old, or an
 * asynchronous standby is promoted that has not received the last commits.
 *
 * A loss is counted if the offset of the push stream is lower than before.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { compareEntryIds } from "../../../src/redis/entry_ids.ts";
import { eventually } from "../../../tests/support/wait.ts";
import { startPostgres } from "../../servers/postgres.ts";
import { runSql } from "../../servers/run_sql.ts";
import { type Fault, type Injection, pause, type Scene } from "../fault.ts";
import { POSTGRES_SETTINGS, type Setting, STREAMS } from "../setting.ts";
import { TcpProxy } from "../tcp_proxy.ts";

const LIMIT_MS = 60_000;

export const POSTGRES_LOSS_FAULTS: readonly Fault[] = [
  {
    name: "postgres-restored",
    summary: "PostgreSQL's data directory is replaced by a copy some seconds old",
    part: "postgres",
    outage: "postgres",
    loses: true,
    // Shorter than the life of the leases of published routes, or longer.
    inject: (scene) => restore(scene, scene.chance.oneIn(2) ? [1, 5] : [10.5, 13]),
  },
  {
    name: "postgres-promoted",
    summary: "an asynchronous standby is promoted that received no commits for a second",
    part: "postgres",
    outage: "postgres",
    loses: true,
    inject: promoteStandby,
  },
];

export async function restore(
  { setting, chance }: Scene,
  [min, max]: readonly [number, number],
): Promise<Injection> {
  const copy = await copyData(setting);
  const seconds = chance.between(min, max);
  await pause(seconds);
  return { ...await restoreCopy(setting, copy), note: `a copy made ${seconds.toFixed(1)} s before` };
}

export interface DataCopy {
  readonly folder: string;
  readonly atMs: number;
  /** The offset of the push stream when the copy was made, or a little later. */
  readonly offset: string;
}

export async function copyData(setting: Setting): Promise<DataCopy> {
  const { postgresServer } = setting;
  const atMs = Date.now();
  const folder = `${postgresServer.dataDir}-copy`;
  await postgresServer.copyData(folder);
  return { folder, atMs, offset: await offsetOf(setting.dsn) };
}

export async function restoreCopy(setting: Setting, { folder, atMs, offset }: DataCopy): Promise<Injection> {
  const { postgresServer } = setting;
  const before = await offsetOf(setting.dsn);
  await postgresServer.stop("immediate");
  const toMs = Date.now();
  await postgresServer.restoreData(folder);
  await postgresServer.start();
  return lossOf({ before, after: offset, fromMs: atMs, toMs });
}

async function promoteStandby({ setting, chance }: Scene): Promise<Injection> {
  const old = setting.postgresServer;
  const { folder, atMs } = await copyData(setting);
  using link = new TcpProxy(old.port);
  const standby = await startPostgres({
    settings: POSTGRES_SETTINGS,
    copy: { dataDir: folder, password: old.password, primaryPort: link.port },
  });
  await eventually(() => isStreaming(setting), { timeoutMs: LIMIT_MS, message: "The standby never caught up" });
  link.freeze();
  await pause(chance.between(0.8, 1.5));
  const before = await offsetOf(setting.dsn);
  const isStoppedFirst = chance.oneIn(2);
  if (isStoppedFirst) await old.stop("immediate");
  await runSql(standby.dsn, "SELECT pg_promote()");
  const after = await offsetOf(withPort(setting.dsn, standby.port));
  setting.usePostgres(standby);
  const toMs = Date.now();
  await old[Symbol.asyncDispose]();
  return {
    ...lossOf({ before, after, fromMs: atMs, toMs }),
    returnedAtMs: toMs,
    note: isStoppedFirst ? "the old server was stopped first" : "the address was changed first",
  };
}

/** Whether the standby is less than 1 MB of WAL behind. */
async function isStreaming(setting: Setting): Promise<boolean> {
  const rows = await setting.query(
    `SELECT FROM pg_stat_replication
      WHERE state = 'streaming' AND pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) < 1000000`,
  );
  return rows.length > 0;
}

function lossOf(
  { before, after, fromMs, toMs }: { before: string; after: string; fromMs: number; toMs: number },
): Injection {
  const isLost = compareEntryIds(after, before) < 0;
  return { times: isLost ? 1 : 0, losses: [{ store: "postgres", fromMs, toMs }], returnedAtMs: Date.now() };
}

/** Returns the offset of the push stream in PostgreSQL; `0-0` if there is none. */
async function offsetOf(dsn: string): Promise<string> {
  const client = new pg.Client({ connectionString: dsn });
  await client.connect();
  try {
    const { rows: [row] } = await client.query<{ entry_id: string }>(
      "SELECT entry_id FROM notification.stream_offsets WHERE stream = $1",
      [STREAMS.push],
    );
    return row?.entry_id ?? "0-0";
  } finally {
    await client.end();
  }
}

function withPort(dsn: string, port: number): string {
  const url = new URL(dsn);
  url.port = String(port);
  return url.href;
}
