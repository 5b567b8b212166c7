/**
 * The User Service is out: entries before the stalled one are committed, the offset does not move past it, and intake
 * resumes when the User Service is back (docs/contract.md, section 3).
 */
import assert from "node:assert/strict";
import { hang, refuse } from "../../scripts/servers/user_service.ts";
import { consumerLeaseKey } from "../../src/redis/keys.ts";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

Deno.test("a failing look-up holds back only its entry and those after it", async () => {
  await using rig = await openRig({ otherUsers: (id) => id === "nobody" ? undefined : {} });
  rig.users.behaviour = (id) => id === "out" ? refuse(503, "overloaded") : undefined;
  const entryIds = [
    await rig.addIntent(),
    await rig.addIntent({ payload_json: "{}" }),
    await rig.addIntent({ recipient_user_ids_json: '["nobody"]' }),
    await rig.addIntent({ recipient_user_ids_json: '["here-1","out","here-2"]' }),
    await rig.addIntent({ recipient_user_ids_json: '["here-3"]' }),
    await rig.addIntent({ payload_json: "{}" }),
  ];
  const service = await rig.start();
  await eventually(() => rig.users.requestedIds.filter((id) => id === "out").length >= 3);
  assert.deepEqual((await verdicts(rig, entryIds)).slice(0, 3), ["accepted", "invalid_payload", "recipient_not_found"]);
  for (const entryId of entryIds.slice(3)) {
    const { record, malformed } = await outcomeOf(rig, entryId);
    assert.deepEqual([record, malformed], [undefined, undefined]);
  }
  assert.equal(await offsetRow(rig), entryIds[2]);
  await eventually(async () => (await rig.clientEvents()).length === 1);

  // Entries that arrive meanwhile are neither known nor read.
  const late = await rig.addIntent({ recipient_user_ids_json: '["late"]' });
  rig.users.behaviour = undefined;
  await rig.settled();
  assert.deepEqual(await verdicts(rig, [...entryIds.slice(3), late]), [
    "accepted",
    "accepted",
    "invalid_payload",
    "accepted",
  ]);
  for (const id of ["here-1", "here-2", "here-3", "user-1", "late"]) {
    assert.equal(rig.users.requestedIds.filter((asked) => asked === id).length, 1, id);
  }
  await oneOutage(service);
});

// run_loop_test.ts checks the exact waits; a busy machine may make any of them longer.
Deno.test("each stall waits 100 ms at first and longer each time, and is logged once", async () => {
  await using rig = await openRig();
  const times: number[] = [];
  let failures = 0;
  rig.users.behaviour = () => {
    times.push(performance.now());
    return failures-- > 0 ? new Response("no", { status: 500 }) : undefined;
  };
  const service = await rig.start();
  const stall = async (length: number) => {
    times.length = 0;
    failures = length;
    await rig.addIntent();
    await rig.settled();
    return times.slice(1).map((time, index) => time - (times[index] ?? 0));
  };
  const gaps = await stall(4);
  assert.equal(gaps.length, 4);
  for (const [at, least] of [100, 200, 400, 800].entries()) assert.ok((gaps[at] ?? 0) >= least - 25, `${gaps}`);
  // The next outage would begin with 1.6 s if its waits continued those of this one.
  const next = await stall(1);
  assert.ok((next[0] ?? Infinity) < 1_500, `${next} after ${gaps}`);
  const reported = () => aboutUserService(service).map((line) => line.level);
  await eventually(() => reported().length >= 4, { message: () => `Levels of the lines: ${reported()}` });
  assert.deepEqual(reported(), ["warn", "info", "warn", "info"]);
});

Deno.test("Retry-After is honoured", async () => {
  await using rig = await openRig();
  const times: number[] = [];
  rig.users.behaviour = () => {
    times.push(performance.now());
    return times.length > 1 ? undefined : new Response(null, { status: 429, headers: { "retry-after": "1" } });
  };
  await rig.start();
  await rig.addIntent();
  await rig.settled();
  assert.equal(times.length, 2);
  assert.ok((times[1] ?? 0) - (times[0] ?? 0) >= 990, `${times}`);
});

Deno.test("without the User Service, entries are accepted up to the first one that needs a look-up", async () => {
  await using rig = await openRig();
  const service = await rig.start();
  const known = { idempotency_key: "known" };
  const first = await rig.addIntent(known);
  await rig.settled();

  await rig.users.stop();
  const entryIds = [
    await rig.addIntent(known),
    await rig.addIntent({ ...known, recipient_user_ids_json: '["user-2"]' }),
    await rig.addIntent({ notification_type: "no.such.type" }),
    await rig.addIntent({
      notification_type: "game.generation_failed",
      audience_kind: "admin_email",
      recipient_user_ids_json: undefined,
      payload_json: '{"game_id":"g","game_name":"N","failure_reason":"r"}',
    }),
  ];
  await rig.settled();
  assert.deepEqual(await verdicts(rig, [first, ...entryIds]), [
    "accepted",
    "duplicate",
    "idempotency_conflict",
    "unknown_notification_type",
    "accepted",
  ]);

  const stalled = await rig.addIntent();
  await service.waitForLog((line) => line.level === "warn" && /user.service/i.test(JSON.stringify(line)));
  assert.equal(await offsetRow(rig), entryIds.at(-1));
  rig.users.start();
  await rig.settled();
  assert.deepEqual(await verdicts(rig, [stalled]), ["accepted"]);
  await oneOutage(service);
});

Deno.test("a hanging User Service costs one time-out per look-up, and a killed consumer's entries are read again", async () => {
  await using rig = await openRig({ env: { NOTIFICATION_USER_SERVICE_TIMEOUT: "200ms" } });
  rig.users.behaviour = () => hang();
  const service = await rig.start();
  const entryId = await rig.addIntent();
  await service.waitForLog((line) => line.level === "warn" && /user.service/i.test(JSON.stringify(line)));
  await service.kill();
  await rig.redis.del(consumerLeaseKey(rig.intentsStream));
  rig.users.behaviour = undefined;
  await rig.start();
  await rig.settled();
  assert.deepEqual(await verdicts(rig, [entryId]), ["accepted"]);
  assert.equal((await rig.clientEvents()).length, 1);
});

async function offsetRow(rig: Rig): Promise<string | undefined> {
  const [row] = await rig.query<{ entry_id: string }>(
    "SELECT entry_id FROM notification.stream_offsets WHERE stream = 'notification:intents'",
  );
  return row?.entry_id;
}

function aboutUserService(service: ServiceProcess) {
  return service.logs.filter((line) =>
    line.level !== "debug" && line.logger === "dependencies" && line["dependency"] === "user_service"
  );
}

/** One warning when it started failing, one line when it recovered. */
async function oneOutage(service: ServiceProcess): Promise<void> {
  const levels = () => aboutUserService(service).map((line) => line.level);
  await eventually(() => levels().length >= 2, { message: () => `Levels of the lines: ${levels()}` });
  assert.deepEqual(levels(), ["warn", "info"]);
}
