/**
 * A PostgreSQL that assigns no more transaction ids, to avoid wraparound: every write is refused with SQLSTATE 54000,
 * which otherwise means that a value is too large. No intent becomes malformed because of it (docs/contract.md, section
 * 5).
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
// @ts-types="@types/pg"
import pg from "pg";
import { serverAccount } from "../../scripts/servers/account.ts";
import { findBinaries } from "../../scripts/servers/binaries.ts";
import { type Postgres, startPostgres } from "../../scripts/servers/postgres.ts";
import { verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";

/** The folder of the programs themselves; the PATH may have only links to them. */
const BINARIES = dirname(await Deno.realPath(`${(await findBinaries()).postgresBin}/postgres`));

/** Several passes of each loop. */
const REFUSED_MS = 5_000;
/** The server refuses to assign an id within this distance of the oldest one. */
const STOP_BEFORE_WRAPAROUND = 3_000_000;
/** Transaction ids in one file of pg_xact, and its bytes. */
const IDS_A_SEGMENT = 2 ** 20;
const SEGMENT_BYTES = 256 * 1024;

const NAME = "a PostgreSQL without transaction ids is an outage, and makes no intent malformed";
// The PostgreSQL that is downloaded from npm comes without this program.
const ignore = !existsSync(`${BINARIES}/pg_resetwal`);

Deno.test({ name: ignore ? `${NAME} NOT RUN: no pg_resetwal in ${BINARIES}` : NAME, ignore }, async () => {
  await using postgres = await startPostgres();
  await using rig = await openRig({ postgresServer: postgres, superuser: true });
  const service = await rig.start();
  const entryIds = [await rig.addIntent()];
  await rig.settled();
  await rig.query("CREATE TABLE never_vacuumed ()");
  await useUpTransactionIds(rig, postgres);
  // Keeps the server's own vacuum from ending this state.
  const holder = new pg.Client({ connectionString: rig.dsn });
  await holder.connect();
  try {
    await holder.query("BEGIN; LOCK TABLE never_vacuumed IN SHARE UPDATE EXCLUSIVE MODE");
    await assert.rejects(rig.query("INSERT INTO never_vacuumed DEFAULT VALUES"), { code: "54000" });
    for (let intents = 0; intents < 5; intents++) entryIds.push(await rig.addIntent());
    await new Promise((resolve) => setTimeout(resolve, REFUSED_MS));
    assert.equal(service.exitCode, undefined, service.output());
    assert.deepEqual(await rig.query("SELECT * FROM notification.malformed_intents"), []);
  } finally {
    await holder.end();
  }
  await advanceOldestId(rig, postgres);
  await rig.settled({ timeoutMs: 30_000 });
  assert.deepEqual(await verdicts(rig, entryIds), entryIds.map(() => "accepted"));
  assert.equal((await service.terminate()).code, 0);
});

/** The server then has used two billion more ids than before. */
async function useUpTransactionIds(rig: Rig, postgres: Postgres): Promise<void> {
  const [oldest] = await rig.query<{ id: string }>("SELECT min(datfrozenxid::text::bigint) AS id FROM pg_database");
  const next = Number(oldest!.id) + 2 ** 31 - STOP_BEFORE_WRAPAROUND + 1;
  await postgres.stop();
  const account = await serverAccount();
  const segment = Math.floor(next / IDS_A_SEGMENT).toString(16).toUpperCase().padStart(4, "0");
  const file = `${postgres.dataDir}/pg_xact/${segment}`;
  await Deno.writeFile(file, new Uint8Array(SEGMENT_BYTES), { mode: 0o600 });
  if (account !== undefined) await Deno.chown(file, account.uid, account.gid);
  const { success, stderr } = await new Deno.Command(`${BINARIES}/pg_resetwal`, {
    args: ["-x", String(next), "-D", postgres.dataDir],
    cwd: postgres.dataDir,
    ...account,
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  await postgres.start();
}

async function advanceOldestId(rig: Rig, postgres: Postgres): Promise<void> {
  // The server's own vacuum works at the same time, also on template0, which accepts no connections.
  const databases = await rig.query<{ name: string }>("SELECT datname AS name FROM pg_database WHERE datallowconn");
  for (const { name } of databases) {
    const url = new URL(postgres.dsn);
    url.pathname = `/${name}`;
    const client = new pg.Client({ connectionString: url.href });
    await client.connect();
    await client.query("VACUUM FREEZE");
    await client.end();
  }
}
