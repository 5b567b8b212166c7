/**
 * An operator's own catalog: its effect on intents and on routes that are not published yet, and the messages about a
 * broken one (docs/contract.md, sections 1 and 5).
 */
import assert from "node:assert/strict";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { openRig } from "../support/rig.ts";
import { startService } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

const DEFAULT_CATALOG = new URL("../../src/notification/default_catalog.json", import.meta.url);

interface Catalog {
  types: Record<string, { payload: { required: string[] }; [member: string]: unknown }>;
}

Deno.test("a type of the operator's catalog is delivered, and the default types are unknown", async () => {
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

Deno.test("a payload of 256 KiB and a pattern that a backtracking engine needs minutes for do not hold up what comes after", async () => {
  const payload = { type: "object", properties: { contact: { type: "string", pattern: "[a-z]+@[a-z]+" } } };
  const type = { description: "d", producers: ["p"], audiences: { user: ["push"] }, payload };
  await using file = await catalogFile({ types: { "a.b": type } });
  await using rig = await openRig({ env: { NOTIFICATION_CATALOG_FILE: file.path } });
  await rig.start();
  const sent = (contact: string) =>
    rig.addIntent({ notification_type: "a.b", producer: "p", payload_json: JSON.stringify({ contact }) });
  const startMs = Date.now();
  await sent("a".repeat(262_000));
  await sent("a@b");
  await rig.settled();
  assert.ok(Date.now() - startMs < 10_000);
  assert.deepEqual(await rig.query("SELECT failure_code, failure_message FROM notification.malformed_intents"), [{
    failure_code: "invalid_payload",
    failure_message: 'payload_json does not match the type\'s schema: contact: must match the pattern "[a-z]+@[a-z]+"',
  }]);
  assert.deepEqual((await rig.clientEvents()).map(({ fields }) => fields["payload_bytes"]), ['{"contact":"a@b"}']);
});

Deno.test("routes whose payload the catalog no longer allows become dead letters at once, those of an unknown type after an hour", async () => {
  await using rig = await openRig({
    env: { NOTIFICATION_ROUTE_BACKOFF_MIN: "1h", NOTIFICATION_ROUTE_BACKOFF_MAX: "1h" },
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
  await rig.query("UPDATE notification.routes SET next_attempt_at = now()");
  await rig.query(
    "UPDATE notification.records SET accepted_at = now() - interval '61 minutes' WHERE stream_entry_id = $1",
    [
      gone,
    ],
  );

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

/** What is wrong with a type, and the rest of the message after the type's name. */
type Faults = Readonly<Record<string, readonly [changes: unknown, place: RegExp]>>;

const TYPE_FAULTS: Faults = {
  "no object": [7, /object/],
  "without producers": [{ producers: undefined }, /producers/],
  "no producer": [{ producers: [] }, /producers/],
  "an empty producer": [{ producers: ["p", ""] }, /producers.*1/],
  "no audience": [{ audiences: {} }, /audiences/],
  "an unknown audience": [{ audiences: { everybody: ["push"] } }, /audiences.*everybody/],
  "no channel": [{ audiences: { user: [] } }, /audiences.*user/],
  "an unknown channel": [{ audiences: { user: ["push", "sms"] } }, /audiences.*user.*1/],
  "push for administrators": [{ audiences: { admin_email: ["push"] } }, /audiences.*admin_email/],
  "no payload": [{ payload: undefined }, /payload/],
  "an unknown member": [{ chanels: [] }, /chanels/],
};

const PAYLOAD_FAULTS: Faults = {
  "no object": [{ payload: { type: "string" } }, /payload/],
  "an unknown type": [withMember({ type: "whole" }), /payload/],
  "a pattern that does not compile": [withMember({ pattern: "(" }), /payload\/properties\/n\/pattern: .*group/],
  "a pattern with look-ahead": [withMember({ pattern: "(?=a)b" }), /payload\/properties\/n\/pattern: .*look ahead/],
  "a back-reference": [
    { payload: { type: "object", patternProperties: { "(a+)\\1": true } } },
    /payload\/patternProperties\/\(a\+\)\\1: .*refer back/,
  ],
};

for (const [of, faults] of [["types", TYPE_FAULTS], ["payload schemas", PAYLOAD_FAULTS]] as const) {
  Deno.test(`all broken ${of} of a catalog file are reported, each with its place`, async () => {
    const types = Object.values(faults).map(([changes], index) => [`broken.${index}`, brokenType(changes)]);
    await using file = await catalogFile({ types: Object.fromEntries(types) });
    const lines = await refused(file.path);
    for (const [index, [fault, [, place]]] of Object.entries(faults).entries()) {
      const about = lines.filter((line) => new RegExp(`broken\\.${index}\\b.*${place.source}`).test(line));
      assert.equal(about.length > 0, true, `${fault}: ${place} after broken.${index} in\n${lines.join("\n")}`);
    }
  });
}

Deno.test("a file that is no catalog is refused", async () => {
  await using folder = await temporaryFolder();
  const files: Readonly<Record<string, readonly [string | undefined, RegExp]>> = {
    "empty.json": ["", /JSON/],
    "half.json": ['{"types":{\n"a.b":{"producers":["p"],\n', /JSON/],
    "list.json": ["[]", /object/],
    "without-types.json": ["{}", /types/],
    "missing.json": [undefined, /missing\.json/],
    ".": [undefined, /./],
  };
  await Promise.all(
    Object.entries(files).map(async ([name, [text, expected]]) => {
      if (text !== undefined) await Deno.writeTextFile(`${folder.path}/${name}`, text);
      const lines = await refused(`${folder.path}/${name}`);
      assert.match(lines.join("\n"), expected);
    }),
  );
});

/** The messages about the file; only the file is wrong. */
async function refused(path: string): Promise<string[]> {
  await using service = await startService({
    NOTIFICATION_REDIS_MASTER_ADDR: "127.0.0.1:1",
    NOTIFICATION_REDIS_PASSWORD: "password",
    NOTIFICATION_POSTGRES_PRIMARY_DSN: "postgres://user:password@127.0.0.1:1/database",
    NOTIFICATION_USER_SERVICE_BASE_URL: "http://127.0.0.1:1",
    NOTIFICATION_CATALOG_FILE: path,
  });
  assert.equal(await service.exit(), 78, service.output());
  const lines = service.output().split("\n");
  assert.ok(lines.every((line) => line.includes("NOTIFICATION_CATALOG_FILE")), service.output());
  return lines;
}

function brokenType(changes: unknown): unknown {
  const type = { description: "d", producers: ["p"], audiences: { user: ["push"] }, payload: { type: "object" } };
  return typeof changes === "object" ? { ...type, ...changes } : changes;
}

function withMember(schema: unknown): unknown {
  return { payload: { type: "object", properties: { n: schema } } };
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
