/**
 * docs/contract.md, and names in the source → every name of the source that is missing on the page.
 *
 * Variables are compared including their defaults, and types of the embedded catalog including their producers and
 * payloads.
 */
import assert from "node:assert/strict";
import { administratorEmails, fileForm, prefix, variableList } from "../src/config/variables.ts";
import { EXIT } from "../src/lifecycle/shutdown.ts";
import { embeddedCatalog } from "../src/notification/catalog.ts";
import { MALFORMED_CODES } from "../src/notification/intent.ts";
import { FAILURE_CLASSIFICATIONS, ROUTE_STATUSES, SKIP_REASONS } from "../src/notification/route.ts";
import { TABLES } from "../src/postgres/ownership.ts";
import {
  consumerLeaseKey,
  epochBeginningsKey,
  intakeStallKey,
  redisEpochKey,
  routeLeaseKey,
  streamOffsetKey,
} from "../src/redis/keys.ts";
import { clientEventFields, intentFields, mailCommandFields } from "./contracts/fields.ts";

const page = await Deno.readTextFile(new URL("../docs/contract.md", import.meta.url));
const rows = page.split("\n").filter((line) => line.startsWith("|")).map((line) => line.split(" | "));
const types = [...embeddedCatalog().values()];

Deno.test("docs/contract.md has every variable with its default", () => {
  const wanted = variableList.map(([name, variable]) =>
    [
      `| \`${name}\``,
      variable.required ? "required" : variable.default === "" ? /^(none|empty)$/ : `\`${variable.default}\``,
    ] as const
  );
  for (const [name, standard] of [...wanted, [`| \`${administratorEmails.name}\``, "empty"] as const]) {
    const found = rows.find(([first]) => first === name)?.[1];
    assert.ok(typeof standard === "string" ? found === standard : standard.test(found ?? ""), `${name}: ${found}`);
  }
  for (const [name, { secret }] of variableList) if (secret) assertNames([fileForm(name)]);
  assert.ok(page.includes(`\`${prefix}\``));
});

Deno.test("docs/contract.md has every code, status, classification, table and key", () => {
  assertNames([...MALFORMED_CODES, ...ROUTE_STATUSES, ...SKIP_REASONS, ...FAILURE_CLASSIFICATIONS]);
  assertNames(TABLES.map((name) => name === "goose_db_version" ? `notification.${name}` : name));
  assertNames([
    consumerLeaseKey("<stream>"),
    routeLeaseKey("<notification_id>", "<route_id>"),
    streamOffsetKey("<stream>"),
    intakeStallKey("<stream>"),
    redisEpochKey(),
    epochBeginningsKey(),
  ]);
});

Deno.test("docs/contract.md has every exit code", () => {
  for (const code of Object.values(EXIT)) assert.ok(page.includes(`| \`${code}\` | `), `${code}`);
});

Deno.test("docs/contract.md has every field of the three streams", () => {
  for (const schema of [intentFields(types[0]!), clientEventFields(types), mailCommandFields()]) {
    assertNames(Object.keys(schema.properties as Record<string, unknown>));
  }
});

Deno.test("docs/contract.md has every type of the embedded catalog", () => {
  for (const { name, producers, audiences, payloadSchema } of types) {
    const row = rows.find(([first, producer]) => first === `| \`${name}\`` && producer === quoted(producers));
    const members = Object.keys(payloadSchema.properties as Record<string, unknown>);
    const channels = Object.entries(audiences).map(([kind, names]) => `\`${kind}\`: ${names.join(", ")}`);
    assert.equal(row?.[2], channels.join("; "), name);
    assert.equal(row?.[3]?.replaceAll(/ \([^)]*\)| \|$/g, ""), quoted(members), name);
  }
});

function quoted(names: readonly string[]): string {
  return names.map((name) => `\`${name}\``).join(", ");
}

function assertNames(names: readonly string[]): void {
  assert.deepEqual(names.filter((name) => !page.includes(`\`${name}\``)), []);
}
