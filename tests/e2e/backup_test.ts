/**
 * docs/upgrade_and_backup.md: its commands back a database up and restore it, and afterwards the state is as the page
 * says.
 */
import assert from "node:assert/strict";
import { ROUTE_LEASE_PATTERN } from "../../src/redis/keys.ts";
import { findBinaries } from "../../scripts/servers/binaries.ts";
import { openRig } from "../support/rig.ts";

const [BACKUP, RESTORE] = [
  ...Deno.readTextFileSync(new URL("../../docs/upgrade_and_backup.md", import.meta.url)).matchAll(
    /^```sh\n(.*?)^```$/gms,
  ),
].map(([, commands]) => commands!);

/** Debian keeps these programs outside the usual folders. */
const PATH = `${Deno.env.get("PATH")}:/usr/lib/postgresql/15/bin:/usr/lib/postgresql/17/bin`;

/** For example 15; `undefined` without the program. */
async function majorVersion(command: string): Promise<number | undefined> {
  try {
    const { stdout } = await new Deno.Command(command, { args: ["--version"], env: { PATH } }).output();
    return Number(/(\d+)\./.exec(new TextDecoder().decode(stdout))?.[1]);
  } catch {
    return undefined;
  }
}

const SERVER = await majorVersion(`${(await findBinaries()).postgresBin}/postgres`) ?? Infinity;
const DUMP = await majorVersion("pg_dump") ?? await majorVersion("/usr/lib/postgresql/15/bin/pg_dump") ?? 0;
// The PostgreSQL that is downloaded from npm comes without pg_dump, and an older one refuses a newer server.
const ignore = DUMP < SERVER;
const NOT_RUN = ignore ? ` NOT RUN: pg_dump ${DUMP} for PostgreSQL ${SERVER}` : "";

const BACKUPS = [
  { name: "a backup", change: "SELECT" },
  {
    name: "a backup without offsets of outbound streams",
    change: "DELETE FROM notification.stream_offsets WHERE stream <> 'notification:intents'",
  },
] as const;

for (const { name, change } of BACKUPS) {
  Deno.test({
    name: `entries after ${name} are read again under the same ids, and published once${NOT_RUN}`,
    ignore,
    fn: () => restored(change),
  });
}

async function restored(change: string): Promise<void> {
  await using rig = await openRig();
  const file = await Deno.makeTempFile();
  const run = async (commands: string) => {
    const { success, stderr } = await new Deno.Command("sh", {
      args: ["-e", "-c", commands],
      env: {
        ADMINISTRATOR_DSN: rig.dsn,
        BACKUP: file,
        PATH,
      },
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
  };
  try {
    const before = await rig.start();
    await rig.addIntent({ idempotency_key: "before" });
    await rig.settled();
    await run(BACKUP!); // while it runs
    const later = await rig.addIntent({ idempotency_key: "after" });
    await rig.settled();
    await before.terminate();
    const published = (await rig.clientEvents()).map(({ fields }) => fields["event_id"]);
    const leases = await rig.redis.keys(ROUTE_LEASE_PATTERN);
    if (leases.length > 0) await rig.redis.del(leases);

    await run(RESTORE!);
    await rig.query(change);
    const after = await rig.start();
    await after.waitForLog(({ level, message }) => level === "warn" && message.includes("PostgreSQL lost commits"));
    await rig.settled();
    const records = await rig.query<{ key: string; entry: string }>(
      "SELECT idempotency_key AS key, stream_entry_id AS entry FROM notification.records ORDER BY accepted_at",
    );
    assert.deepEqual(records.map(({ key }) => key), ["before", "after"]);
    assert.equal(records[1]?.entry, later);
    const events = (await rig.clientEvents()).map(({ fields }) => fields["event_id"]);
    assert.deepEqual(events, published, "what was published is not published again");
  } finally {
    await Deno.remove(file);
  }
}
