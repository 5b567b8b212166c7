// An operator's own catalog: what it changes for intents and for routes that are on their way, and what is said about
// one that is broken (contract, sections 1 and 5).

import assert from "node:assert/strict";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { openRig } from "../support/rig.ts";
import { startService } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

const DEFAULT_CATALOG = new URL("../../src/notification/default_catalog.json", import.meta.url);

interface Catalog {
  types: Record<string, { payload: { required: string[] }; [member: string]: unknown }>;
}

Deno.test("a type of one's own is delivered, and the default ones are unknown", async () => {
  const weather = {
    description: "It rains",
    producers: ["weather", "weather-2"],
    audiences: { user: ["push"], admin_email: ["email"] },
    payload: {
      type: "object",
      properties: { mm: { type: "number", exclusiveMinimum: 0 }, kind: { enum: ["rain", "snow"] } },
      required: ["mm"],
    },
  };
  await using file = await catalogFile({ types: { "weather.rain": weather } });
  await using rig = await openRig({
    env: {
      NOTIFICATION_CATALOG_FILE: file.path,
      NOTIFICATION_ADMIN_EMAILS_WEATHER_RAIN: "ops@example.com",
    },
  });
  await rig.start();
  const rain = { notification_type: "weather.rain", producer: "weather-2", payload_json: '{"mm":1.10,"kind":"snow"}' };
  const entryIds = [
    await rig.addIntent(rain),
    await rig.addIntent({ ...rain, audience_kind: "admin_email", recipient_user_ids_json: undefined }),
    await rig.addIntent({ ...rain, payload_json: '{"mm":0}' }),
    await rig.addIntent({ ...rain, payload_json: '{"mm":1,"kind":"hail"}' }),
    await rig.addIntent({ ...rain, producer: "game-master" }),
    await rig.addIntent(),
  ];
  await rig.settled();
  assert.deepEqual(await verdicts(rig, entryIds), [
    "accepted",
    "accepted",
    "invalid_payload",
    "invalid_payload",
    "producer_not_allowed",
    "unknown_notification_type",
  ]);
  assert.deepEqual((await rig.clientEvents()).map(({ fields }) => fields["payload_bytes"]), [rain.payload_json]);
  assert.deepEqual((await rig.mailCommands()).map(({ payload }) => payload.template_id), ["weather.rain"]);
});

Deno.test("routes whose type or payload the catalog no longer has become dead letters at once", async () => {
  await using rig = await openRig({
    env: { NOTIFICATION_ROUTE_BACKOFF_MIN: "300ms", NOTIFICATION_ROUTE_BACKOFF_MAX: "300ms" },
  });
  for (const stream of ["gateway:client-events", "mail:delivery_commands"]) await rig.redis.set(stream, "in the way");
  const first = await rig.start();
  const game = '"game_id":"g","game_name":"N"';
  const gone = await rig.addIntent();
  const changed = await rig.addIntent({
    notification_type: "game.finished",
    payload_json: `{${game},"final_turn_number":3}`,
  });
  const kept = await rig.addIntent({
    notification_type: "lobby.membership.approved",
    producer: "game-lobby",
    payload_json: `{${game}}`,
  });
  await eventually(async () => {
    const routes = await rig.query<{ status: string }>("SELECT status FROM notification.routes");
    return routes.length === 6 && routes.every((route) => route.status === "failed");
  });
  await first.terminate();
  for (const stream of ["gateway:client-events", "mail:delivery_commands"]) await rig.redis.del(stream);

  const catalog: Catalog = JSON.parse(await Deno.readTextFile(DEFAULT_CATALOG));
  delete catalog.types["game.turn.ready"];
  catalog.types["game.finished"]?.payload.required.push("winner");
  await using file = await catalogFile(catalog);
  const second = await rig.start({ NOTIFICATION_CATALOG_FILE: file.path });
  await rig.settled();
  for (const entryId of [gone, changed]) {
    const { record, routes, deadLetters, clientEvents, mailCommands } = await outcomeOf(rig, entryId);
    assert.deepEqual(routes.map((route) => [route.status, route.last_error_classification]), [
      ["dead_letter", "payload_encoding_failed"],
      ["dead_letter", "payload_encoding_failed"],
    ]);
    assert.deepEqual(deadLetters.map((letter) => [letter.channel, letter.failure_classification]), [
      ["email", "payload_encoding_failed"],
      ["push", "payload_encoding_failed"],
    ]);
    assert.ok(deadLetters.every((letter) => letter.attempt_count < letter.max_attempts));
    assert.deepEqual([clientEvents, mailCommands], [[], []]);
    const line = await second.waitForLog((line) =>
      line["notification_id"] === record?.notification_id && line.level === "error"
    );
    assert.equal(line["classification"], "payload_encoding_failed");
  }
  const { routes } = await outcomeOf(rig, kept);
  assert.deepEqual(routes.map((route) => route.status), ["published", "published"]);
});

/** The file's text, and what of the message tells the place. */
const BROKEN: Readonly<Record<string, readonly [string, RegExp]>> = {
  "empty": ["", /JSON/],
  "half a JSON": ['{"types":{\n"a.b":{"producers":["p"],\n', /JSON/],
  "a list": ["[]", /object/],
  "without types": ["{}", /types/],
  "a type that is no object": ['{"types":{"a.b":7}}', /a\.b/],
  "a type without producers": [withType({ producers: undefined }), /a\.b.*producers/],
  "no producer": [withType({ producers: [] }), /a\.b.*producers/],
  "an empty producer": [withType({ producers: ["p", ""] }), /a\.b.*producers.*1/],
  "no audience": [withType({ audiences: {} }), /a\.b.*audiences/],
  "an unknown audience": [withType({ audiences: { everybody: ["push"] } }), /a\.b.*audiences.*everybody/],
  "no channel": [withType({ audiences: { user: [] } }), /a\.b.*audiences.*user/],
  "an unknown channel": [withType({ audiences: { user: ["push", "sms"] } }), /a\.b.*audiences.*user.*1/],
  "push for administrators": [withType({ audiences: { admin_email: ["push"] } }), /a\.b.*audiences.*admin_email/],
  "no payload": [withType({ payload: undefined }), /a\.b.*payload/],
  "a payload that is no object": [withType({ payload: { type: "string" } }), /a\.b.*payload/],
  "a schema of an unknown type": [
    withType({ payload: { type: "object", properties: { n: { type: "whole" } } } }),
    /a\.b.*payload/,
  ],
  "a pattern that does not compile": [
    withType({ payload: { type: "object", properties: { n: { type: "string", pattern: "(" } } } }),
    /a\.b.*payload/,
  ],
  "a member that nobody knows": [withType({ chanels: [] }), /a\.b.*chanels/],
};

Deno.test("a broken catalog file is refused, and the place in it is named", async (test) => {
  await using folder = await temporaryFolder();
  const cases = Object.entries(BROKEN).map(([name, [text, place]]) => ({ name, text, place }));
  await Promise.all(cases.map(async ({ name, text, place }, index) => {
    const path = `${folder.path}/${index}.json`;
    await Deno.writeTextFile(path, text);
    await refused(test, name, path, place);
  }));
  await refused(test, "no such file", `${folder.path}/missing.json`, /missing\.json/);
  await refused(test, "a folder", folder.path, /./);
});

async function refused(test: Deno.TestContext, name: string, path: string, place: RegExp): Promise<void> {
  await test.step({
    name,
    fn: async () => {
      await using service = await startService({
        NOTIFICATION_REDIS_MASTER_ADDR: "127.0.0.1:1",
        NOTIFICATION_REDIS_PASSWORD: "password",
        NOTIFICATION_POSTGRES_PRIMARY_DSN: "postgres://user:password@127.0.0.1:1/database",
        NOTIFICATION_USER_SERVICE_BASE_URL: "http://127.0.0.1:1",
        NOTIFICATION_CATALOG_FILE: path,
      });
      const code = await service.exit();
      assert.equal(code, 78, service.output());
      const line = service.output().split("\n").find((line) => line.includes("NOTIFICATION_CATALOG_FILE"));
      assert.match(line ?? service.output(), place);
    },
    sanitizeOps: false,
    sanitizeResources: false,
    sanitizeExit: false,
  });
}

function withType(changes: Readonly<Record<string, unknown>>): string {
  const type = {
    description: "d",
    producers: ["p"],
    audiences: { user: ["push"] },
    payload: { type: "object", properties: { n: { type: "integer" } } },
    ...changes,
  };
  return JSON.stringify({ types: { "a.b": type } });
}

async function temporaryFolder() {
  const path = await Deno.makeTempDir();
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

async function catalogFile(catalog: unknown) {
  const path = await Deno.makeTempFile({ suffix: ".json" });
  await Deno.writeTextFile(path, JSON.stringify(catalog));
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path) };
}
