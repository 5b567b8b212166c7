/**
 * Every metric of section 9 of docs/contract.md, as a collector gets it from the real process: name, kind, unit,
 * attributes, and the value that follows from what the test did.
 */
import assert from "node:assert/strict";
import { consumerLeaseKey } from "../../src/redis/keys.ts";
import { TcpProxy } from "../../scripts/chaos/tcp_proxy.ts";
import { startRedis } from "../../scripts/servers/redis.ts";
import { BIRTH_CLAIM_MS } from "../../src/notification/route.ts";
import { keepPostgres } from "../support/losses.ts";
import { OtlpReceiver } from "../support/otlp_receiver.ts";
import { dashboardQueries, ruleQueries, seriesOf, unknownIn } from "../support/prometheus.ts";
import { openRig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

const METRICS = {
  "notification.route_schedule.depth": ["gauge", "{route}"],
  "notification.route_schedule.oldest_age_ms": ["gauge", "ms"],
  "notification.intent_stream.oldest_unprocessed_age_ms": ["gauge", "ms"],
  "notification.intent_stream.stalled_ms": ["gauge", "ms"],
  "notification.intent_stream.lag": ["gauge", "{entry}"],
  "notification.dependency.unavailable": ["gauge", "{dependency}"],
  "notification.intents": ["counter", "{intent}"],
  "notification.intents.malformed": ["counter", "{intent}"],
  "notification.intent_stream.trimmed_unread": ["counter", "{entry}"],
  "notification.route.published": ["counter", "{route}"],
  "notification.route.retries": ["counter", "{attempt}"],
  "notification.route.skipped": ["counter", "{route}"],
  "notification.route.dead_letters": ["counter", "{route}"],
  "notification.route.late": ["counter", "{route}"],
  "notification.repair.open_age_ms": ["gauge", "ms"],
  "notification.outbound.lost": ["counter", "{route}"],
  "notification.outbound.republished": ["counter", "{route}"],
  "notification.leases.rebuilt": ["counter", "{lease}"],
  "notification.leases.not_shortened": ["counter", "{lease}"],
  "notification.cleanup.deleted": ["counter", "{row}"],
  "notification.dependency.outages": ["counter", "{outage}"],
  "notification.intent.accept.duration": ["histogram", "s"],
  "notification.route.publish.duration": ["histogram", "s"],
  "notification.route.delivery_latency": ["histogram", "s"],
  "notification.user_service.request.duration": ["histogram", "s"],
} as const;

const USER_TYPE = "game.turn.ready";
const ADMIN_TYPE = "game.generation_failed";
const ADMIN_INTENT = {
  notification_type: ADMIN_TYPE,
  audience_kind: "admin_email",
  recipient_user_ids_json: undefined,
  payload_json: '{"game_id":"g","game_name":"n","failure_reason":"r"}',
};

Deno.test("every metric of the contract is exported with the right values", async () => {
  await using otlp = await OtlpReceiver.start();
  await using rig = await openRig({
    env: {
      ...otlp.env,
      NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "2",
      NOTIFICATION_ROUTE_BACKOFF_MIN: "20ms",
      NOTIFICATION_CLEANUP_INTERVAL: "100ms",
    },
    users: [["user-1", { email: "user-1@example.com" }], ["no-mail", {}]],
  });

  // Five entries get their outcomes; then three are trimmed unread.
  await rig.addIntent({ idempotency_key: "key" });
  const before = await rig.start();
  await rig.settled();
  await before.terminate();
  otlp.metricExports.length = 0;
  for (let entry = 0; entry < 3; entry++) await rig.addIntent();
  await rig.redis.xtrim("notification:intents", "MAXLEN", 0);
  const begun = Date.now();
  await rig.start();

  await rig.addIntent({ idempotency_key: "key" }); // a duplicate
  await rig.addIntent({ recipient_user_ids_json: '["user-1","no-mail"]' }); // push twice, mail once
  await rig.addIntent(ADMIN_INTENT); // no address
  await rig.addIntent({ notification_type: "no.such.type" });
  await rig.addIntent({ payload_json: "{}" });
  await rig.addIntent({ recipient_user_ids_json: '["nobody"]' });
  await rig.settled();
  await rig.redis.rename("gateway:client-events", "kept");
  await rig.redis.set("gateway:client-events", "in the way");
  await rig.addIntent(); // push: a failed attempt, then a dead letter
  await rig.settled();
  await rig.query("UPDATE notification.malformed_intents SET recorded_at = now() - interval '91 days'");
  await eventually(async () => (await rig.query("SELECT FROM notification.malformed_intents")).length === 0);
  // The User Service is out for a moment, and an intent waits for it.
  await rig.users.stop();
  const waiting = await rig.addIntent();
  await eventually(() =>
    otlp.point("notification.dependency.unavailable", { dependency: "user_service" })?.value === 1
  );
  await eventually(() => otlp.point("notification.intent_stream.lag")?.value === 1);
  const age = otlp.point("notification.intent_stream.oldest_unprocessed_age_ms")!.value;
  assert.ok(age > 0 && age <= Date.now() - Number(waiting.split("-")[0]), `${age}`);
  const stalled = await eventually(() =>
    otlp.metric("notification.intent_stream.stalled_ms")?.points.find(({ attributes }) =>
      attributes["stream_entry_id"] === waiting
    )
  );
  assert.ok(stalled.value > 0 && stalled.value <= age + 60_000, `${stalled.value}`);
  const { dependency, recipient, reason } = stalled.attributes;
  assert.deepEqual([dependency, recipient, typeof reason], ["user_service", "user-1", "string"]);
  rig.users.start();
  await rig.settled();
  await otlp.nextExport();
  // The depth is counted less often when counting is slow, as it is on a busy machine.
  await eventually(() =>
    ["push", "email"].every((channel) => otlp.point("notification.route_schedule.depth", { channel })?.value === 0)
  );

  assert.deepEqual(
    Object.fromEntries(
      otlp.metricExports.at(-1)!.map(({ name, kind, unit, scope, description }) => {
        assert.equal(scope, "notification-service");
        assert.notEqual(description, "");
        return [name, [kind, unit]];
      }).sort(),
    ),
    Object.fromEntries(Object.entries(METRICS).sort()),
  );

  /** The expected counters; all counters begin as 0. */
  const values = (name: keyof typeof METRICS) =>
    Object.fromEntries(
      otlp.metric(name)!.points.filter(({ value }) => value !== 0).map(({ attributes, value }) => [
        Object.entries(attributes).sort().map(([, text]) => text).join(" "),
        value,
      ]),
    );
  const gauge = (name: keyof typeof METRICS) =>
    otlp.metric(name)!.points.map(({ attributes, value }) => [Object.values(attributes).join(), value]);
  const attributesOf = (
    name: keyof typeof METRICS,
  ) => [...new Set(otlp.metric(name)!.points.map(({ attributes }) => Object.keys(attributes).sort().join(" ")))];
  const NOTHING_WAITS = [["push", 0], ["email", 0]];
  const REFUSED = "push gateway_stream_publish_failed";

  assert.deepEqual(values("notification.intents"), {
    [`${USER_TYPE} accepted`]: 3,
    [`${ADMIN_TYPE} accepted`]: 1,
    [`${USER_TYPE} duplicate`]: 1,
    [`${USER_TYPE} malformed`]: 2,
    "unknown malformed": 1,
  });
  assert.deepEqual(attributesOf("notification.intents"), ["notification_type outcome"]);
  assert.deepEqual(values("notification.intents.malformed"), {
    unknown_notification_type: 1,
    invalid_payload: 1,
    recipient_not_found: 1,
  });
  assert.deepEqual(attributesOf("notification.intents.malformed"), ["failure_code"]);
  assert.deepEqual(values("notification.intent_stream.trimmed_unread"), { "": 3 });
  assert.deepEqual(values("notification.route.published"), { push: 2, email: 3 });
  assert.deepEqual(attributesOf("notification.route.published"), ["channel"]);
  assert.deepEqual(attributesOf("notification.dependency.outages"), ["dependency"]);
  assert.deepEqual(values("notification.route.retries"), { [REFUSED]: 2 });
  assert.deepEqual(values("notification.route.dead_letters"), { [REFUSED]: 2 });
  assert.deepEqual(values("notification.route.skipped"), {
    "email recipient_email_missing": 1,
    "email admin_emails_not_configured": 1,
  });
  for (const name of ["retries", "dead_letters", "skipped"] as const) {
    assert.deepEqual(attributesOf(`notification.route.${name}`), ["channel classification"]);
  }
  // A stream that is deleted while Redis runs is not a loss.
  for (const name of ["outbound.lost", "outbound.republished", "leases.rebuilt"] as const) {
    assert.deepEqual(values(`notification.${name}`), {});
  }
  assert.deepEqual(attributesOf("notification.outbound.lost"), ["channel"]);
  assert.deepEqual(attributesOf("notification.outbound.republished"), ["channel"]);
  assert.deepEqual(attributesOf("notification.leases.rebuilt"), [""]);
  assert.deepEqual(values("notification.cleanup.deleted"), { malformed_intents: 3 });
  assert.deepEqual(attributesOf("notification.cleanup.deleted"), ["table"]);
  assert.deepEqual(values("notification.dependency.outages"), { user_service: 1 });
  assert.deepEqual(gauge("notification.dependency.unavailable"), [
    ["redis", 0],
    ["postgres", 0],
    ["user_service", 0],
    ["intent_stream", 0],
  ]);
  assert.deepEqual(gauge("notification.route_schedule.depth"), NOTHING_WAITS);
  assert.deepEqual(gauge("notification.route_schedule.oldest_age_ms"), NOTHING_WAITS);
  assert.deepEqual(gauge("notification.intent_stream.lag"), [["", 0]]);
  assert.deepEqual(gauge("notification.intent_stream.stalled_ms"), [["", 0]]);
  assert.deepEqual(gauge("notification.repair.open_age_ms"), [["", 0]]);
  assert.deepEqual(gauge("notification.intent_stream.oldest_unprocessed_age_ms"), [["", 0]]);

  const histogram = (name: keyof typeof METRICS) =>
    otlp.metric(name)!.points.map(({ attributes, count = 0, value, bounds = [] }) => {
      // In seconds: nothing took longer than this test.
      assert.ok(value > 0 && value / count < (Date.now() - begun) / 1000, `${name}: ${value} of ${count}`);
      assert.ok(bounds[0]! <= 0.01 && bounds.length > 10, `${name}: ${bounds}`);
      return [Object.values(attributes).join(" "), count] as const;
    });
  assert.deepEqual(Object.fromEntries(histogram("notification.route.delivery_latency")), { push: 2, email: 3 });
  const batches = Object.fromEntries(histogram("notification.route.publish.duration"));
  assert.ok(batches["push"]! >= 4 && batches["email"]! >= 2, JSON.stringify(batches));
  assert.ok(histogram("notification.intent.accept.duration")[0]![1] >= 3);
  await assertQueriesAskForWhatIsExported(otlp);
  const lookUps = Object.fromEntries(histogram("notification.user_service.request.duration"));
  assert.equal(lookUps["not_found"], 1);
  assert.ok(lookUps["found"]! >= 4 && lookUps["unavailable"]! >= 1, JSON.stringify(lookUps));
});

/** The dashboard and the alert rules use only existing names and labels. */
async function assertQueriesAskForWhatIsExported(otlp: OtlpReceiver): Promise<void> {
  const series = seriesOf(otlp.metricExports.at(-1)!);
  assert.equal(series.size, 21 + 4 * 3);
  assert.ok(series.has("notification_route_delivery_latency_seconds_bucket"));
  const queries = [
    ...dashboardQueries(await Deno.readTextFile("docs/observability/dashboard.json")),
    ...ruleQueries(await Deno.readTextFile("docs/observability/alerts.yaml")),
  ];
  assert.ok(queries.length > 25);
  assert.deepEqual(queries.flatMap((query) => unknownIn(query, series)), []);
  const text = queries.map(({ expr }) => expr).join("\n");
  const unused = [...new Set([...series.keys()].map((name) => name.replace(/_(bucket|sum|count)$/, "")))];
  assert.deepEqual(unused.filter((name) => !text.includes(name)), [], "every metric is on the dashboard");
  assert.deepEqual(unknownIn({ where: "w", expr: 'sum by (x) (rate(notification_y{z="a"}[5m]))' }, series), [
    "w: no series notification_y",
    "w: no label z",
    "w: no label x",
  ]);
}

Deno.test("losses of Redis and PostgreSQL are counted, and what was published again or rebuilt", async () => {
  await using otlp = await OtlpReceiver.start();
  await using redisServer = await startRedis();
  await using rig = await openRig({ redisServer, env: otlp.env });
  const before = await rig.start();
  for (let intents = 0; intents < 3; intents++) await rig.addIntent();
  await rig.settled();
  // Without persistence it comes back empty.
  await redisServer.kill("SIGKILL");
  await redisServer.start();
  const perChannel = (name: string) =>
    ["push", "email"].map((channel) => otlp.point(`notification.outbound.${name}`, { channel })?.value).join();
  await eventually(() => perChannel("lost") === "3,3", { message: () => before.output() });
  await eventually(() => perChannel("republished") === "3,3");
  await rig.addIntent();
  await rig.settled();
  const putBack = await keepPostgres(rig);
  await rig.addIntent();
  await rig.settled();
  assert.equal((await before.terminate()).code, 0);
  await putBack();
  otlp.metricExports.length = 0;
  const after = await rig.start();
  await eventually(() => Number(otlp.point("notification.leases.rebuilt")?.value) > 0, {
    message: () => after.output(),
  });
  await rig.settled();
  await otlp.nextExport();
  // The leases of the lost outcome of each channel, and of everything published in the minute before.
  assert.equal(otlp.point("notification.leases.rebuilt")?.value, 2 * 5);
  assert.deepEqual([(await rig.clientEvents()).length, (await rig.mailCommands()).length], [5, 5]);
  assert.equal(perChannel("lost"), "0,0");
  assert.equal((await after.terminate()).code, 0);
});

Deno.test("batches too late for their claims and leases that can't be shortened are counted", async () => {
  await using otlp = await OtlpReceiver.start();
  await using redisServer = await startRedis();
  await using rig = await openRig({ redisServer, env: otlp.env });
  using proxy = new TcpProxy(redisServer.port);
  const service = await rig.start({
    NOTIFICATION_REDIS_MASTER_ADDR: `127.0.0.1:${proxy.port}`,
    NOTIFICATION_REDIS_OPERATION_TIMEOUT: "3500ms",
    NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "2s",
  });
  const late = () => otlp.metric("notification.route.late")?.points.reduce((sum, { value }) => sum + value, 0);
  const notShortened = () => otlp.point("notification.leases.not_shortened", { code: "NOPERM" })?.value;
  await eventually(() => late() === 0 && notShortened() === 0);
  await rig.redis.call("ACL", "SETUSER", "default", "-pexpire");
  const held = proxy.freezeAt((text) => text.includes("payload_"), 30);
  await rig.addIntent();
  assert.ok(await held !== undefined, service.output());
  await new Promise((resolve) => setTimeout(resolve, BIRTH_CLAIM_MS + 200));
  proxy.thaw({ lose: false });
  await rig.settled();
  await eventually(() => late()! >= 1 && notShortened() === 2, { message: () => service.output() });
  for (const { attributes } of otlp.metric("notification.route.late")!.points) {
    assert.deepEqual(Object.keys(attributes), ["channel"]);
  }
  assert.deepEqual([(await rig.clientEvents()).length, (await rig.mailCommands()).length], [1, 1]);
});

Deno.test("the first export comes before anything is counted, so that events right after the start are an increase", async () => {
  await using otlp = await OtlpReceiver.start();
  // The SDK's own first export would only come at the end.
  const seldom = { OTEL_METRIC_EXPORT_INTERVAL: "3600000", OTEL_METRIC_EXPORT_TIMEOUT: "30000" };
  await using rig = await openRig({ env: { ...otlp.env, ...seldom } });
  await rig.addIntent();
  const before = await rig.start();
  await rig.settled();
  await before.terminate();
  otlp.metricExports.length = 0;
  for (let entry = 0; entry < 3; entry++) await rig.addIntent();
  await rig.redis.xtrim("notification:intents", "MAXLEN", 0);
  await rig.addIntent({ payload_json: "{}" });
  await rig.addIntent(ADMIN_INTENT);

  const service = await rig.start();
  await rig.settled();
  await eventually(() => otlp.metricExports.length > 0);
  const trimmed = () => otlp.point("notification.intent_stream.trimmed_unread")?.value;
  const failed = () => otlp.point("notification.intents.malformed", { failure_code: "invalid_payload" })?.value;
  const skipped = () =>
    otlp.point("notification.route.skipped", { channel: "email", classification: "admin_emails_not_configured" })
      ?.value;
  const outages = () => otlp.point("notification.dependency.outages", { dependency: "redis" })?.value;
  assert.deepEqual([trimmed(), failed(), skipped(), outages()], [0, 0, 0, 0]);
  const points = otlp.metricExports.flat().flatMap(({ points }) => points);
  assert.ok(points.length > 20);
  assert.deepEqual(points.filter(({ value }) => value !== 0), []);
  assert.equal(otlp.metricExports.length, 1);
  await service.terminate();
  assert.deepEqual([trimmed(), failed(), skipped(), outages()], [3, 1, 1, 0]);
});

Deno.test("the schedule's gauges show the routes that wait, and how overdue they are", async () => {
  await using otlp = await OtlpReceiver.start();
  await using rig = await openRig({ env: { ...otlp.env, NOTIFICATION_ROUTE_BACKOFF_MIN: "5m" } });
  await rig.redis.set("gateway:client-events", "in the way");
  const service = await rig.start();
  await rig.addIntent({ recipient_user_ids_json: '["user-1","user-2"]' });
  await service.waitForLog(({ message }) => message === "attempt failed");

  const depth = (channel: string) => otlp.point("notification.route_schedule.depth", { channel })?.value;
  const age = (channel: string) => otlp.point("notification.route_schedule.oldest_age_ms", { channel })?.value;
  // On a busy machine a count is taken every ten seconds.
  await eventually(() => depth("push") === 2 && depth("email") === 0, { timeoutMs: 30_000 });
  await otlp.nextExport();
  assert.deepEqual([age("push"), age("email")], [0, 0], "a route that waits for its next attempt is not overdue");

  // Overdue, but locked for the publishers.
  const client = await rig.pool.connect();
  await client.query("BEGIN");
  await client.query("SELECT FROM notification.routes FOR UPDATE");
  await client.query(`UPDATE notification.routes SET next_attempt_at = now() - interval '2 hours'
    WHERE route_id = 'push:user:user-1' AND status = 'failed'`);
  await client.query("COMMIT; BEGIN; SELECT FROM notification.routes FOR UPDATE");
  const overdue = await eventually(() => age("push") || undefined, { message: "No route became overdue" });
  await client.query("ROLLBACK");
  client.release();
  assert.ok(overdue >= 7_200_000 && overdue < 7_230_000, `${overdue}`);
});

Deno.test("a stream of another type is an outage of intent_stream for as long as it is there", async () => {
  await using otlp = await OtlpReceiver.start();
  await using rig = await openRig({ env: otlp.env });
  await rig.redis.set("notification:intents", "in the way");
  await rig.start();
  const unavailable = () =>
    otlp.metric("notification.dependency.unavailable")?.points.filter(({ value }) => value === 1)
      .map(({ attributes }) => attributes["dependency"]).join();
  await eventually(() => unavailable() === "intent_stream", { message: () => `Unavailable: ${unavailable()}` });
  await rig.redis.del("notification:intents");
  await eventually(() => unavailable() === "", { message: () => `Unavailable: ${unavailable()}` });
  assert.equal(otlp.point("notification.dependency.outages", { dependency: "intent_stream" })?.value, 1);
  await rig.addIntent();
  await rig.settled();
});

Deno.test("the resource names the service, its version, its instance and its environment", async () => {
  await using otlp = await OtlpReceiver.start();
  await using rig = await openRig({
    env: {
      ...otlp.env,
      NOTIFICATION_ENVIRONMENT: "staging",
      OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=instance-7,team=games",
    },
  });
  const service = await rig.start();
  await otlp.nextExport();
  const version = JSON.parse(await Deno.readTextFile("deno.json")).version;
  const { resource } = otlp.metric("notification.intent_stream.lag")!;
  for (
    const [name, value] of Object.entries({
      "service.name": "notification-service",
      "service.version": version,
      "service.instance.id": "instance-7",
      "deployment.environment.name": "staging",
      "team": "games",
      "process.runtime.name": "deno",
    })
  ) assert.equal(resource[name], value, name);
  await service.waitForLog(({ message }) => message === "consuming");
  const processId = await rig.redis.get(consumerLeaseKey(rig.intentsStream));
  assert.match(processId ?? "", /^instance-7\/[0-9a-f]{8}$/);
  const [seen] = await rig.query<{ count: number }>(
    "SELECT count(*)::int FROM pg_stat_activity WHERE application_name = 'notification-service/' || $1",
    [processId],
  );
  assert.ok(seen!.count > 0);
});

Deno.test("the resource's attributes of the service remain, whatever is wrong with the operator's attributes", async () => {
  await using otlp = await OtlpReceiver.start();
  const attributesWith = async (variables: Readonly<Record<string, string>>) => {
    await using rig = await openRig({
      env: { ...otlp.env, NOTIFICATION_ENVIRONMENT: "staging", NOTIFICATION_LOG_LEVEL: "info", ...variables },
    });
    const service = await rig.start();
    const { instance_id } = await service.waitForLog(({ message }) => message === "starting");
    await service.terminate();
    const { resource } = otlp.metric("notification.dependency.unavailable")!;
    assert.deepEqual(
      [resource["service.version"], resource["deployment.environment.name"], resource["service.instance.id"]],
      ["0.1.0", "staging", instance_id],
    );
    return resource;
  };
  const plain = await attributesWith({});
  assert.equal(plain["service.name"], "notification-service");
  assert.ok("host.name" in plain && "process.pid" in plain);
  const faulty = await attributesWith({ OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=i-1,team=games=chess" });
  assert.deepEqual([faulty["service.instance.id"], faulty["team"]], ["i-1", undefined]);
  await attributesWith({ OTEL_RESOURCE_ATTRIBUTES: "team=games," });
  const host = await attributesWith({ OTEL_NODE_RESOURCE_DETECTORS: "host", OTEL_SERVICE_NAME: "another" });
  assert.equal(host["service.name"], "another");
  assert.ok("host.name" in host && !("process.pid" in host));
  const all = await attributesWith({ OTEL_NODE_RESOURCE_DETECTORS: "all", OTEL_RESOURCE_ATTRIBUTES: "team=games" });
  assert.deepEqual([all["team"], "process.pid" in all], ["games", true]);
});
