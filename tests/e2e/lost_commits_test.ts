/**
 * PostgreSQL comes back with less than it committed: lost intents are accepted again under the same ids, and published
 * routes are not published again (docs/contract.md, section 11).
 */
import { outputOf } from "../../scripts/command_output.ts";
import assert from "node:assert/strict";
import { type Postgres, startPostgres } from "../../scripts/servers/postgres.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

/** The server's files as they are now; the server is stopped for a moment. */
async function backUp(postgres: Postgres): Promise<string> {
  const copy = `${postgres.dataDir}-backup`;
  await postgres.stop("immediate");
  await outputOf("cp", ["-a", postgres.dataDir, copy]);
  await postgres.start();
  return copy;
}

async function restore(postgres: Postgres, copy: string): Promise<void> {
  await postgres.stop("immediate");
  await outputOf("rm", ["-rf", postgres.dataDir]);
  await outputOf("mv", [copy, postgres.dataDir]);
  await postgres.start();
}

const routes = async (rig: Rig, status: string) =>
  (await rig.query<{ routes: number }>("SELECT count(*)::int AS routes FROM notification.routes WHERE status = $1", [
    status,
  ]))[0]!.routes;

async function eachOnce(rig: Rig, expected: number): Promise<void> {
  const ids = [
    ...(await rig.clientEvents()).map(({ fields }) => fields["event_id"]!),
    ...(await rig.mailCommands()).map(({ fields }) => fields["delivery_id"]!),
  ];
  assert.deepEqual([ids.length, new Set(ids).size], [expected, expected]);
}

const untilPublished = (rig: Rig, expected: number) =>
  eventually(async () => await routes(rig, "published") === expected, {
    timeoutMs: 30_000,
    message: `${expected} routes were not published`,
  });

Deno.test("PostgreSQL put back to an earlier state: nothing is lost, nothing is published twice", async () => {
  await using postgres = await startPostgres();
  await using rig = await openRig({
    postgresServer: postgres,
    env: { NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "500ms" },
  });
  const service = await rig.start();
  for (let intents = 0; intents < 3; intents++) await rig.addIntent();
  await untilPublished(rig, 6);
  const copy = await backUp(postgres);
  for (let intents = 0; intents < 5; intents++) await rig.addIntent();
  await untilPublished(rig, 16);
  // The leases of published routes live for ten more seconds; the following must not depend on them.
  await new Promise((resolve) => setTimeout(resolve, 11_000));
  assert.deepEqual(await rig.redis.keys("route_leases:*"), []);
  await restore(postgres, copy);
  // No entry arrives: the service notices by itself.
  await untilPublished(rig, 16);
  await eachOnce(rig, 16);
  const rebuilt = service.logs.filter(({ message }) =>
    String(message).startsWith("PostgreSQL lost commits: the leases")
  );
  assert.deepEqual(rebuilt.map(({ level, stream }) => [level, stream]).sort(), [
    ["warn", "gateway:client-events"],
    ["warn", "mail:delivery_commands"],
  ]);
  await rig.addIntent();
  await rig.settled();
  await eachOnce(rig, 18);
  assert.equal((await service.terminate()).code, 0);
});

Deno.test("PostgreSQL put back while the service is stopped: the start looks for losses first", async () => {
  await using postgres = await startPostgres();
  await using rig = await openRig({ postgresServer: postgres });
  const first = await rig.start();
  for (let intents = 0; intents < 2; intents++) await rig.addIntent();
  await untilPublished(rig, 4);
  const copy = await backUp(postgres);
  for (let intents = 0; intents < 4; intents++) await rig.addIntent();
  await untilPublished(rig, 12);
  assert.equal((await first.terminate()).code, 0);
  for (const key of await rig.redis.keys("route_leases:*")) await rig.redis.del(key);
  await restore(postgres, copy);
  const second = await rig.start();
  await untilPublished(rig, 12);
  await eachOnce(rig, 12);
  assert.equal((await second.terminate()).code, 0);
});

Deno.test("a PostgreSQL that was only restarted has lost nothing, and nothing is logged", async () => {
  await using postgres = await startPostgres();
  await using rig = await openRig({ postgresServer: postgres });
  const service = await rig.start();
  for (let intents = 0; intents < 3; intents++) await rig.addIntent();
  await rig.settled();
  await postgres.kill("SIGKILL");
  await postgres.start();
  await rig.addIntent();
  await eventually(async () => await routes(rig, "published") === 8, { timeoutMs: 30_000 });
  await eachOnce(rig, 8);
  assert.doesNotMatch(service.output(), /lost commits/);
  assert.equal((await service.terminate()).code, 0);
});
