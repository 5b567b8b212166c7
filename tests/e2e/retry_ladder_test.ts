/**
 * Routes whose publication fails: the ladder's attempts and delays, dead letters, recovery, and the channels'
 * independence (docs/contract.md, sections 5 and 6).
 */
import assert from "node:assert/strict";
import { ROUTE_LEASE_PATTERN, routeLeaseKey } from "../../src/redis/keys.ts";
import { type Outcome, outcomeOf } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

const PUSH_STREAM = "gateway:client-events";
const MAIL_STREAM = "mail:delivery_commands";
const QUICK = { NOTIFICATION_ROUTE_BACKOFF_MIN: "20ms", NOTIFICATION_ROUTE_BACKOFF_MAX: "40ms" };

const BROKEN = [
  { channel: "push", other: "email", stream: PUSH_STREAM, attempts: 3, code: "gateway_stream_publish_failed" },
  { channel: "email", other: "push", stream: MAIL_STREAM, attempts: 7, code: "mail_stream_publish_failed" },
] as const;

for (const { channel, other, stream, attempts, code } of BROKEN) {
  Deno.test(`a ${stream} of another type leads the ${channel} routes into dead letters, and no others`, async () => {
    await using rig = await openRig({ env: QUICK });
    await rig.redis.set(stream, "in the way");
    const service = await rig.start();
    const entryId = await rig.addIntent();
    const before = Date.now();
    await rig.settled();

    const { routes, deadLetters, record } = await outcomeOf(rig, entryId);
    assert.deepEqual(
      Object.fromEntries(routes.map((route) => [route.channel, [route.status, route.attempt_count]])),
      { [channel]: ["dead_letter", attempts], [other]: ["published", 1] },
    );
    for (const route of routes.filter((route) => route.channel === channel)) {
      assert.deepEqual([route.last_error_classification, route.next_attempt_at], [code, null]);
      assert.match(route.last_error_message ?? "", /WRONGTYPE/);
      assert.equal(route.published_entry_id, null);
    }
    assert.equal(deadLetters.length, 1);
    for (const { created_at, failure_message, ...rest } of deadLetters) {
      assert.ok(created_at.getTime() >= before - 1000 && created_at.getTime() <= Date.now() + 1000);
      assert.match(failure_message, /WRONGTYPE/);
      assert.deepEqual(rest, {
        notification_id: record?.notification_id,
        route_id: `${channel}:user:user-1`,
        channel,
        recipient: "user:user-1",
        attempt_count: attempts,
        max_attempts: attempts,
        failure_classification: code,
      });
    }

    // One warning for each attempt that is tried again, one error for each dead letter.
    const lines = () => service.logs.filter((line) => line["route_id"] === `${channel}:user:user-1`);
    await eventually(() => lines().length >= attempts);
    assert.deepEqual(lines().map((line) => line.level), [...Array(attempts - 1).fill("warn"), "error"]);
    for (const line of lines()) {
      assert.deepEqual(
        [line["classification"], line["channel"], line["notification_id"], line.logger],
        [code, channel, record?.notification_id, `${channel}_publisher`],
      );
    }
    assert.deepEqual(service.logs.filter((line) => line.logger === `${other}_publisher` && line.level !== "info"), []);

    // A dead letter is final: nothing is published when the stream works again.
    await rig.redis.del(stream);
    await rig.addIntent();
    await rig.settled();
    const sent = channel === "push" ? await rig.clientEvents() : await rig.mailCommands();
    assert.equal(sent.length, 1);
  });
}

Deno.test("routes that failed are published when the stream works again", async () => {
  await using rig = await openRig({ env: { ...QUICK, NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "1000" } });
  await rig.redis.lpush(PUSH_STREAM, "in the way");
  await rig.start();
  const entryId = await rig.addIntent();
  const failed = await eventually(async () => {
    const route = await pushRoute(rig, entryId);
    return (route?.attempt_count ?? 0) >= 3 ? route : undefined;
  });
  assert.equal(failed.status, "failed");
  assert.equal(failed.last_error_classification, "gateway_stream_publish_failed");
  assert.ok(failed.next_attempt_at !== null);
  await rig.redis.del(PUSH_STREAM);
  await rig.settled();
  const { routes, deadLetters, clientEvents } = await outcomeOf(rig, entryId);
  const published = routes.find((route) => route.channel === "push");
  assert.ok(published !== undefined && published.attempt_count > failed.attempt_count);
  assert.deepEqual([published.status, published.next_attempt_at], ["published", null]);
  assert.deepEqual(clientEvents.map(({ entryId }) => entryId), [published.published_entry_id]);
  assert.deepEqual(deadLetters, []);
});

Deno.test("delays double from BACKOFF_MIN on, spread by a fifth, and end at BACKOFF_MAX", async () => {
  await using rig = await openRig({
    env: {
      NOTIFICATION_ROUTE_BACKOFF_MIN: "250ms",
      NOTIFICATION_ROUTE_BACKOFF_MAX: "600ms",
      NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "4",
    },
  });
  await rig.redis.set(PUSH_STREAM, "in the way");
  await rig.start();
  // Each delay is measured from two times: that in the row, and the earlier beginning of the transaction.
  await rig.query("CREATE TABLE delays (attempt int, shorter float8, longer float8)");
  await rig.query(`
    CREATE FUNCTION measure() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      INSERT INTO public.delays VALUES (NEW.attempt_count,
        extract(epoch FROM NEW.next_attempt_at - clock_timestamp()) * 1000,
        extract(epoch FROM NEW.next_attempt_at - now()) * 1000);
      RETURN NEW;
    END $$`);
  await rig.query(`
    CREATE TRIGGER measure BEFORE UPDATE ON notification.routes FOR EACH ROW
    WHEN (NEW.channel = 'push' AND NEW.status = 'failed' AND NEW.attempt_count > OLD.attempt_count) EXECUTE FUNCTION measure()`);
  for (let index = 0; index < 20; index++) await rig.addIntent();
  await rig.settled();
  for (const [attempt, least, most] of [[1, 200, 300], [2, 400, 600], [3, 480, 600]] as const) {
    const found = await rig.query<{ shorter: number; longer: number }>(
      "SELECT shorter, longer FROM delays WHERE attempt = $1",
      [attempt],
    );
    assert.equal(found.length, 20, `delays after attempt ${attempt}`);
    const context = `after attempt ${attempt}: ${JSON.stringify(found)}`;
    assert.ok(found.every(({ shorter, longer }) => longer >= least - 1 && shorter <= most + 1), context);
    const delays = found.map(({ shorter }) => shorter);
    assert.ok(Math.max(...delays) - Math.min(...delays) > 10, `all are alike ${context}`);
  }
});

Deno.test("an error about one route's lease affects only that route", async () => {
  await using rig = await openRig({
    env: {
      NOTIFICATION_ROUTE_BACKOFF_MIN: "1h",
      NOTIFICATION_ROUTE_BACKOFF_MAX: "1h",
      NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "2",
    },
  });
  // The first attempts fail, which leaves time to prepare the leases; the test makes the second ones due.
  await rig.redis.set(PUSH_STREAM, "in the way");
  await rig.start();
  const entryIds = [await rig.addIntent(), await rig.addIntent(), await rig.addIntent()];
  const leases = await eventually(async () => {
    const routes = await Promise.all(entryIds.map((entryId) => pushRoute(rig, entryId)));
    if (routes.some((route) => route?.status !== "failed")) return undefined;
    return routes.map((route) => routeLeaseKey(route!.notification_id, route!.route_id));
  });
  await rig.redis.multi()
    .del(PUSH_STREAM)
    .lpush(leases[0] ?? "", "in the way")
    .set(leases[1] ?? "", "published:1234567890123-4")
    .exec();
  await rig.query("UPDATE notification.routes SET next_attempt_at = now() WHERE status = 'failed'");
  await rig.settled();

  const [wrong, leased, good] = await Promise.all(entryIds.map((entryId) => outcomeOf(rig, entryId)));
  const push = (outcome: Outcome | undefined) => outcome?.routes.find((route) => route.channel === "push");
  assert.equal(push(wrong)?.status, "dead_letter");
  assert.equal(push(wrong)?.last_error_classification, "gateway_stream_publish_failed");
  assert.deepEqual([push(good)?.status, good?.clientEvents.length], ["published", 1]);
  // A route with a lease is not published again.
  assert.deepEqual([push(leased)?.status, push(leased)?.published_entry_id], ["published", "1234567890123-4"]);
  assert.deepEqual(leased?.clientEvents, []);
});

Deno.test("leases of published routes are kept as long as a claim lives", async () => {
  await using rig = await openRig();
  await rig.start();
  const begun = performance.now();
  const entryId = await rig.addIntent();
  await rig.settled();
  const { routes } = await outcomeOf(rig, entryId);
  for (const { notification_id, route_id, published_entry_id } of routes) {
    const lease = routeLeaseKey(notification_id, route_id);
    assert.equal(await rig.redis.get(lease), `published:${published_entry_id}`);
    await eventually(async () => await rig.redis.pttl(lease) <= 10_000);
    assert.ok(await rig.redis.pttl(lease) >= 10_000 - (performance.now() - begun));
  }
  assert.equal((await rig.redis.keys(ROUTE_LEASE_PATTERN)).length, routes.length);
});

async function pushRoute(rig: Rig, entryId: string) {
  const { routes } = await outcomeOf(rig, entryId);
  return routes.find((route) => route.channel === "push");
}
