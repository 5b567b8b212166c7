/**
 * `status` in hard cases: too many routes to count, and --watch on a real terminal (made by script(1)), in place, with
 * or without colour, until Ctrl-C.
 */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { startRedis } from "../../scripts/servers/redis.ts";
import { assertReadable, jsonOf, runOn } from "../support/command.ts";
import { displayWidth } from "../../src/commands/display_width.ts";
import { openRig } from "../support/rig.ts";
import { serviceCommand } from "../support/service_process.ts";
import { Terminal } from "../support/terminal.ts";
import { eventually } from "../support/wait.ts";

const ROOT = resolve(import.meta.dirname!, "../..");
// deno-lint-ignore no-control-regex -- control characters of a terminal
const STEERING = /\x1b\[[0-9;]*[A-Za-z]/g;

Deno.test("status leaves out only the counts if the routes are too many to count", async () => {
  await using rig = await openRig({ superuser: true });
  await rig.start();
  await rig.addIntent();
  await rig.settled();
  // Reading a published route takes too long; live routes are read and claimed (by ctid) as before.
  await rig.query(`
    ALTER TABLE notification.routes RENAME TO counted_slowly;
    CREATE FUNCTION notification.slow() RETURNS boolean LANGUAGE plpgsql VOLATILE COST 1000000
      AS 'BEGIN PERFORM pg_sleep(5); RETURN true; END';
    CREATE VIEW notification.routes AS
      SELECT ctid, * FROM notification.counted_slowly WHERE status IN ('pending', 'failed') OR notification.slow()`);
  const changes = { NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "3s" };
  const status = await jsonOf(rig, ["status"], { env: changes });
  assert.equal(status.routes, null);
  const { published_up_to, ...push } = status.channels.push;
  assert.deepEqual(push, { depth: 0, oldest_age_ms: 0 });
  assert.equal(published_up_to, (await rig.clientEvents()).at(-1)?.entryId);
  assert.equal(status.instances.length, 1);

  const { code, stdout } = await runOn(rig, ["status"], changes);
  assert.equal(code, 0);
  assertReadable(stdout);
  assert.match(stdout, /DEAD IN THE LAST HOUR\n {2}0\n {2}too many routes to count them by status\n/);
});

Deno.test("status leaves out a count that takes too long, whichever it is", async () => {
  await using rig = await openRig({ superuser: true });
  await rig.start();
  await rig.addIntent();
  await rig.settled();
  await rig.query(`
    CREATE FUNCTION notification.slow() RETURNS boolean LANGUAGE plpgsql VOLATILE COST 1000000
      AS 'BEGIN PERFORM pg_sleep(5); RETURN true; END';
    INSERT INTO notification.dead_letters (notification_id, route_id, channel, recipient, attempt_count, max_attempts,
      failure_classification, failure_message) VALUES (gen_random_uuid(), 'r', 'push', 'user:u', 1, 1, 'c', 'm');
    ALTER TABLE notification.dead_letters RENAME TO counted_slowly;
    CREATE VIEW notification.dead_letters AS SELECT * FROM notification.counted_slowly WHERE notification.slow()`);
  const status = await jsonOf(rig, ["status"]);
  assert.deepEqual([status.dead_letters_last_hour, status.routes.published], [null, 2]);
  const { stdout } = await runOn(rig, ["status"]);
  assert.match(stdout, /too many to count/);
});

Deno.test("status --watch ends when its reader has gone, in a pipe and on a terminal", async () => {
  await using rig = await openRig();
  await rig.start();
  const watch = `timeout --kill-after 1 20 ${(await serviceCommand()).join(" ")} status --watch`;
  const { code, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-o", "pipefail", "-c", `${watch} | head -1`],
    cwd: ROOT,
    env: rig.env,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  assert.equal(code, 0, `124: it ran on; ${new TextDecoder().decode(stderr)}`);
  assert.match(new TextDecoder().decode(stdout), /^\d{4}-.*\n$/);

  // Also without the signal that a closed terminal sends: writing to it fails.
  const terminal = await Terminal.open(["status", "--watch"], { env: rig.env, rows: 20, before: "trap '' HUP" });
  await terminal.shows(({ pages }) => pages.length > 0);
  const pid = await terminal.pid();
  await terminal[Symbol.asyncDispose]();
  await eventually(() => Deno.stat(`/proc/${pid}`).then(() => false, () => true), { timeoutMs: 20_000 });
});

Deno.test("status --watch stays in place at 60 columns and 20 rows, whatever it shows", async () => {
  await using rig = await openRig();
  rig.users.behaviour = () => new Response("no", { status: 503 });
  await rig.start();
  await rig.addIntent({ recipient_user_ids_json: '["\u202e山田🎲山田🎲山田🎲山田🎲山田🎲山田🎲山田🎲山田🎲"]' });
  await eventually(async () => (await jsonOf(rig, ["status"])).intent_stream.waits_for !== null);
  await using terminal = await Terminal.open(["status", "--watch"], { env: rig.env, rows: 20, columns: 60 });
  await terminal.shows(({ pages }) => pages.length >= 2);
  const lines = linesOf(terminal.pages[0]!);
  assert.equal(lines.length, 20);
  assert.ok(lines.every((line) => displayWidth(line) <= 60), JSON.stringify(lines));
  assert.ok(lines.join("").includes("\\u202e山田🎲"), JSON.stringify(lines));
  assert.equal(await terminal.interrupt(), 0);
});

Deno.test("status --watch refreshes a terminal in place, in colour, through an outage, and ends with 0 on Ctrl-C", async () => {
  await using redisServer = await startRedis();
  await using rig = await openRig({ redisServer });
  await rig.start();
  await using terminal = await Terminal.open(["status", "--watch"], { env: rig.env, rows: 30 });
  await terminal.shows(({ pages }) => pages.length >= 3);
  for (const page of terminal.pages.slice(0, 2)) {
    // The rest of each line and of the page is cleared; nothing scrolls.
    assert.ok(page.split("\r\n").slice(0, -2).every((line) => line.endsWith("\x1b[K")), JSON.stringify(page));
    assert.ok(page.endsWith("\x1b[J\r\n"));
    assert.ok(page.includes("\x1b[1mIntents\x1b[22m"));
    assert.ok(page.includes("\x1b[32mconsumes\x1b[39m"));
    assert.ok(linesOf(page).every((line) => line.length <= 80));
  }
  await redisServer.stop();
  await terminal.shows(({ pages }) => linesOf(pages.at(-1)!).some((line) => line.startsWith("Redis: ")));
  assert.ok(linesOf(terminal.pages.at(-1)!).every((line) => line.length <= 80));
  await redisServer.start();
  await terminal.shows(({ pages }) => pages.at(-1)!.includes("Intents"));
  assert.equal(await terminal.interrupt(), 0);
});

Deno.test("status --watch keeps to a low terminal's height, and to NO_COLOR", async () => {
  await using rig = await openRig();
  await rig.start();
  await using terminal = await Terminal.open(["status", "--watch"], { env: { ...rig.env, NO_COLOR: "1" }, rows: 10 });
  await terminal.shows(({ pages }) => pages.length >= 2);
  const page = terminal.pages[0]!;
  assert.equal(page.split("\r\n").length, 10);
  assert.match(page, /\n {2}… \d+ lines more than fit here/);
  assert.deepEqual(new Set(page.match(STEERING)), new Set(["\x1b[K", "\x1b[J"]));
  assert.equal(await terminal.interrupt(), 0);
});

function linesOf(page: string): string[] {
  return page.replace(STEERING, "").split("\r\n");
}
