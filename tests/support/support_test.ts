/**
 * The support functions on which tests rely: waiting, separate key spaces and databases, and the control of a service
 * process. A script stands in for the service, named by NOTIFICATION_SERVICE_BIN like the executable.
 */
import assert from "node:assert/strict";
import { freshDatabase, freshKeySpace, removeDatabase } from "./environment.ts";
import { validIntent } from "./intents.ts";
import { openRig } from "./rig.ts";
import { startService } from "./service_process.ts";
import { eventually } from "./wait.ts";

Deno.test("eventually() returns the first truthy value and ignores exceptions before it", async () => {
  let count = 0;
  const value = await eventually(() => {
    if (++count === 1) throw new Error("too soon");
    return count > 2 && `the ${count}rd`;
  });
  assert.equal(value, "the 3rd");
});

Deno.test("eventually() reports what did not happen, and the last exception", async () => {
  const never = eventually(() => Promise.reject(new Error("no route")), { timeoutMs: 20, message: "Nothing came" });
  await assert.rejects(never, /^Error: Nothing came within 20 ms: no route$/);
});

Deno.test("eventually() waits while there is progress", async () => {
  const begun = performance.now();
  const steps = () => Math.min(5, Math.floor((performance.now() - begun) / 100));
  const never = eventually(() => false, { timeoutMs: 250, progress: steps });
  await assert.rejects(never, /^Error: The condition did not come true within 250 ms since the last progress$/);
  assert.ok(performance.now() - begun >= 500);
});

Deno.test("freshKeySpace() and freshDatabase() never return the same twice", async () => {
  const spaces = await Promise.all([1, 2, 3].map(() => freshKeySpace()));
  assert.equal(new Set(spaces.map((space) => space.db)).size, 3);
  const databases = await Promise.all([1, 2].map(() => freshDatabase()));
  assert.equal(new Set(databases).size, 2);
  for (const database of databases) await removeDatabase(database);
});

Deno.test("validIntent() takes changes and leaves out what is undefined", () => {
  assert.equal(validIntent({ producer: "x" })["producer"], "x");
  assert.notEqual(validIntent()["idempotency_key"], validIntent()["idempotency_key"]);
});

Deno.test("openRig() adds intents and reads the outbound streams", async () => {
  await using rig = await openRig({ env: { NOTIFICATION_INTENTS_STREAM: "in" } });
  const id = await rig.addIntent({ request_id: undefined, trace_id: "t" });
  const [entry] = await rig.redis.xrange("in", "-", "+");
  assert.equal(entry?.[0], id);
  assert.ok(entry?.[1].includes("trace_id") && !entry[1].includes("request_id"));
  await rig.addEntry([["raw", new Uint8Array([0xff, 0])]]);

  await rig.redis.xadd("gateway:client-events", "1-1", "user_id", "u", "payload_bytes", '{"n":1}');
  await rig.redis.xadd("mail:delivery_commands", "1-1", "source", "notification", "payload_json", '{"to":["a@b"]}');
  const [event] = await rig.clientEvents();
  assert.deepEqual(event, {
    entryId: "1-1",
    fields: { user_id: "u", payload_bytes: '{"n":1}' },
    payload: { n: 1 },
  });
  assert.deepEqual((await rig.mailCommands())[0]?.payload.to, ["a@b"]);
  assert.deepEqual(await rig.query("SELECT 1 AS one"), [{ one: 1 }]);
  const user = await (await fetch(`${rig.users.baseUrl}/api/v1/internal/users/user-1`)).json();
  assert.equal(user.user.email, "user-1@example.com");
});

Deno.test("startService() keeps the service's output and returns how it ended", async () => {
  const script = `#!/bin/sh
trap 'echo bye >&2; kill $pid; exit 7' TERM
echo '{"level":"info","logger":"probe","message":"started"}'
echo "$ONLY$TEST_SECRET $1"
sleep 60 & pid=$!; wait`;
  await withExecutable(script, async () => {
    Deno.env.set("TEST_SECRET", "not for the service");
    await using service = await startService({ ONLY: "this" }, { args: ["check"] });
    const line = await service.waitForLog((line) => line.message === "started");
    assert.equal(line.logger, "probe");
    await eventually(() => service.stdout.endsWith("this check"));
    assert.equal(service.exitCode, undefined);
    await assert.rejects(service.waitForLog(() => false, { timeoutMs: 20 }), /did not log what was waited for/);
    const exit = await service.terminate();
    assert.equal(exit.code, 7);
    assert.ok(exit.durationMs < 5000);
    assert.equal(service.stderr, "bye");
    await assert.rejects(service.ready(), /bye[^]*ended with exit code 7/);
  });
});

Deno.test("startService() kills a service that hangs", async () => {
  await withExecutable("#!/bin/sh\ntrap '' TERM INT\necho deaf\nexec sleep 60", async () => {
    const service = await startService({});
    await eventually(() => service.stdout === "deaf");
    service.signal("SIGTERM");
    const { signal } = await service.kill();
    assert.equal(signal, "SIGKILL");
    assert.equal(service.exitCode, 137);
    await service[Symbol.asyncDispose]();
  });
});

async function withExecutable(script: string, use: () => Promise<void>): Promise<void> {
  const before = Deno.env.get("NOTIFICATION_SERVICE_BIN");
  const file = await Deno.makeTempFile();
  await Deno.writeTextFile(file, script);
  await Deno.chmod(file, 0o755);
  Deno.env.set("NOTIFICATION_SERVICE_BIN", file);
  try {
    await use();
  } finally {
    if (before === undefined) Deno.env.delete("NOTIFICATION_SERVICE_BIN");
    else Deno.env.set("NOTIFICATION_SERVICE_BIN", before);
    await Deno.remove(file);
  }
}
