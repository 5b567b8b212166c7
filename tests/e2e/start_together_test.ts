/** Several instances that start at the same moment on an empty database (docs/contract.md, sections 4 and 6). */
import assert from "node:assert/strict";
import { verdicts } from "../support/outcome.ts";
import { openRig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

Deno.test("four instances at once on an empty database all start and accept every intent once", async () => {
  await using rig = await openRig();
  const entryIds: string[] = [];
  for (let index = 0; index < 200; index++) entryIds.push(await rig.addIntent({ idempotency_key: `key ${index}` }));
  const instances = await Promise.all([1, 2, 3, 4].map(() => rig.spawn()));
  await Promise.all(instances.map((instance) => instance.ready()));
  await rig.settled();
  assert.deepEqual(new Set(await verdicts(rig, entryIds)), new Set(["accepted"]));
  const [counts] = await rig.query(
    `SELECT (SELECT count(*)::int FROM notification.records) AS records,
            (SELECT count(*)::int FROM notification.routes WHERE status = 'published') AS routes,
            (SELECT count(*)::int FROM notification.malformed_intents) AS malformed`,
  );
  assert.deepEqual(counts, { records: 200, routes: 400, malformed: 0 });
  const events = (await rig.clientEvents()).map(({ fields }) => fields["event_id"]);
  const commands = (await rig.mailCommands()).map(({ fields }) => fields["delivery_id"]);
  assert.deepEqual([events.length, new Set(events).size], [200, 200]);
  assert.deepEqual([commands.length, new Set(commands).size], [200, 200]);

  // One created the schema, and one reads the intents.
  const loggedBy = (message: string) => instances.filter((each) => each.logs.some((line) => line.message === message));
  // The last instance may not have logged its start yet when the first has accepted everything.
  await eventually(() => loggedBy("standby").length === 3);
  assert.equal(loggedBy("consuming").length, 1);
  const versions = await rig.query("SELECT version_id FROM notification.goose_db_version WHERE version_id > 0");
  const migrations = [...Deno.readDirSync(new URL("../../migrations", import.meta.url))].length;
  assert.equal(versions.length, migrations);
  const exits = await Promise.all(instances.map((instance) => instance.terminate()));
  assert.deepEqual(exits.map((exit) => exit.code), [0, 0, 0, 0]);
});

Deno.test("goose's own table shows the applied migrations, and a second start applies nothing", async () => {
  await using rig = await openRig();
  await (await rig.start()).terminate();
  const table = "SELECT id, version_id, is_applied, tstamp FROM notification.goose_db_version ORDER BY id";
  const before = await rig.query<{ version_id: string; is_applied: boolean; tstamp: Date }>(table);
  assert.deepEqual(before.slice(0, 2).map(({ version_id, is_applied }) => [version_id, is_applied]), [
    ["0", true],
    ["1", true],
  ]);
  await (await rig.start()).terminate();
  assert.deepEqual(await rig.query(table), before);
  const columns = await rig.query(
    `SELECT column_name, data_type FROM information_schema.columns
      WHERE table_schema = 'notification' AND table_name = 'goose_db_version' ORDER BY ordinal_position`,
  );
  assert.deepEqual(columns, [
    { column_name: "id", data_type: "integer" },
    { column_name: "version_id", data_type: "bigint" },
    { column_name: "is_applied", data_type: "boolean" },
    { column_name: "tstamp", data_type: "timestamp without time zone" },
  ]);
});
