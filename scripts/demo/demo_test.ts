/** The parts of the demo that need no servers: it detects wrong outcomes, and its tables stay within their width. */
import assert from "node:assert/strict";
import { type DemoIntent, INTENTS } from "./demo_intents.ts";
import { differences, type Outcome, type Route } from "./outcome.ts";
import { list, table, wrap } from "./table.ts";

const ENTRY_IDS = INTENTS.map((_, index) => `1-${index}`);

Deno.test("differences() finds nothing in a perfect outcome", () => {
  assert.deepEqual(differences(INTENTS, ENTRY_IDS, perfectOutcome()), []);
});

Deno.test("differences() finds what is lost, published twice, changed or has a wrong outcome", () => {
  const perfect = perfectOutcome();
  const [first, ...others] = perfect.clientEvents;
  assert.ok(first !== undefined);
  const id = first.fields["event_id"];
  const withEvents = (clientEvents: Outcome["clientEvents"]) =>
    differences(INTENTS, ENTRY_IDS, { ...perfect, clientEvents });
  assert.deepEqual(withEvents(others), [
    `${id} has 0 outbound entries instead of 1`,
    "5 entries for 6 published routes of the channel push",
  ]);
  assert.deepEqual(withEvents([first, ...perfect.clientEvents]), [
    `${id} has 2 outbound entries instead of 1`,
    "7 entries for 6 published routes of the channel push",
  ]);
  const altered = { ...first, fields: { ...first.fields, payload_bytes: '{"score":1.1}' } };
  assert.deepEqual(withEvents([altered, ...others]), [`${id} has not the producer's own payload`]);
  const noMalformed = { ...perfect, malformed: perfect.malformed.slice(1) };
  assert.deepEqual(differences(INTENTS, ENTRY_IDS, noMalformed), [
    'Intent 11 was expected as "malformed: idempotency_conflict" but came out as "duplicate"',
  ]);
});

Deno.test("table() aligns columns and shortens lines to 100 characters", () => {
  const lines = table(["a", "name"], [["1", "x".repeat(200)], ["☃☃☃", ["red", "y"]]]);
  assert.equal(lines[0], "  a    name");
  assert.equal([...lines[1] ?? ""].length, 100);
  assert.ok(lines[1]?.endsWith("x…"));
  assert.equal(lines[2], "  ☃☃☃  y");
});

Deno.test("list() breaks a long value into lines without loss", () => {
  const value = '{"a": "b", '.repeat(20) + "x".repeat(200);
  const lines = list([["name", value], ["n", ""]]);
  assert.ok(lines.every((line) => line.length <= 100));
  assert.ok(lines[1]?.startsWith(" ".repeat(10)));
  // The space at a line break is not printed.
  const shown = lines.slice(0, -1).map((line) => line.slice(10)).join("");
  assert.equal(shown.replaceAll(" ", ""), value.replaceAll(" ", ""));
});

Deno.test("wrap() breaks lines between words, and within a word that is too long", () => {
  const lines = wrap(`${"word ".repeat(40)}${"z".repeat(150)}`, 6);
  assert.ok(lines.every((line) => line.startsWith("      ") && line.length <= 100));
  assert.equal(lines.join("").replaceAll(" ", ""), "word".repeat(40) + "z".repeat(150));
});

function perfectOutcome(): Outcome {
  const routes = INTENTS.flatMap((intent, index) => routesOf(intent, ENTRY_IDS[index] ?? ""));
  const payloadOf = (route: Route) => INTENTS[ENTRY_IDS.indexOf(route.stream_entry_id)]?.payload ?? "";
  const published = (channel: string) =>
    routes.filter((route) => route.channel === channel && route.status === "published");
  return {
    routes,
    malformed: INTENTS.flatMap(({ expected }, index) =>
      expected.kind === "malformed"
        ? [{ stream_entry_id: ENTRY_IDS[index] ?? "", failure_code: expected.code, failure_message: "…" }]
        : []
    ),
    clientEvents: published("push").map((route, index) => ({
      entryId: `2-${index}`,
      fields: { event_id: `${route.notification_id}/${route.route_id}`, payload_bytes: payloadOf(route) },
      payload: {},
    })),
    mailCommands: published("email").map((route, index) => ({
      entryId: `3-${index}`,
      fields: {
        delivery_id: `${route.notification_id}/${route.route_id}`,
        payload_json: `{"to":[],"variables":${payloadOf(route)}}`,
      },
      payload: { to: [], template_id: "", locale: "en", variables: {} },
    })),
  };
}

function routesOf({ expected }: DemoIntent, entryId: string): Route[] {
  if (expected.kind !== "accepted") return [];
  return Object.entries(expected.routes).map(([route_id, status]) => ({
    notification_id: `n-${entryId}`,
    stream_entry_id: entryId,
    route_id,
    channel: route_id.startsWith("push:") ? "push" : "email",
    status,
    attempt_count: status === "published" ? 1 : 0,
    last_error_classification: null,
    published_entry_id: null,
  }));
}
