/**
 * Arbitrary environments → properties of parseConfig(): it never throws, each problem is one line that names a
 * variable, and no message and no printed result contains a secret, whichever variable contains it.
 */
import assert from "node:assert/strict";
import { inspect } from "node:util";
import fc from "fast-check";
import { type ConfigResult, parseConfig } from "./config.ts";
import type { Environment, FileContent } from "./env.ts";
import { parseDuration } from "./durations.ts";
import { fileForm, prefix, variableList } from "./variables.ts";

const catalog = { administratorTypes: ["game.generation_failed", "a.b_c", "a.b.c"] };
const names = variableList.map(([name]) => prefix + name);
const secretNames = variableList.filter(([, { secret }]) => secret).map(([name]) => prefix + name);

const name = fc.oneof(
  fc.constantFrom(...names, ...secretNames.map(fileForm)),
  fc.constantFrom("REDIS_USERNAME", "ADMIN_EMAILS_A_B_C", "ADMIN_EMAILS_X", "", "X").map((rest) => prefix + rest),
  fc.string({ unit: "binary", maxLength: 30 }).map((rest) => prefix + rest),
);
const likelyValue = fc.constantFrom(
  ...[
    "",
    "0",
    "1",
    "500",
    "10s",
    "0s",
    "1h",
    "720h",
    "db:1",
    ":80",
    "a@b.c",
    "a",
    "http://u",
    "postgres://h/d",
    "/f",
    "info",
  ],
);
const value = fc.oneof(likelyValue, fc.string({ unit: "binary", maxLength: 40 }));
const content: fc.Arbitrary<FileContent> = fc.oneof(
  value.map((text) => ({ kind: "read" as const, text })),
  fc.constant({ kind: "unreadable" as const, reason: "does not exist" }),
);
const environment: fc.Arbitrary<Environment> = fc.record({
  variables: fc.dictionary(name, value, { maxKeys: 20 }),
  notUtf8: fc.array(fc.constantFrom(...names), { maxLength: 2 }),
  files: fc.dictionary(fc.constantFrom(...names, ...secretNames.map(fileForm)), content),
});

function said(result: ConfigResult): readonly string[] {
  return [...(result.kind === "refused" ? result.problems : []), ...result.warnings];
}

function printed(result: ConfigResult): string {
  return [
    ...said(result),
    JSON.stringify(result),
    Deno.inspect(result, { depth: 9, showHidden: true }),
    inspect(result, { depth: 9, showHidden: true }),
  ].join("\n");
}

Deno.test("parseConfig() never throws, and each problem is one line that begins with the variable", () => {
  fc.assert(
    fc.property(environment, (input) => {
      for (const line of said(parseConfig(input, catalog))) {
        assert.ok(line.startsWith(prefix), line);
        assert.doesNotMatch(line, /[\p{Cc}\u2028\u2029]/u);
      }
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("parseConfig() returns either no config and at least one problem, or a config and no problem", () => {
  fc.assert(fc.property(environment, (input) => {
    const result = parseConfig(input, catalog);
    if (result.kind === "refused") assert.ok(result.problems.length > 0);
    else assert.ok(names.every((each) => !input.notUtf8.includes(each)));
  }));
});

// Nothing that a message could hold by chance, and every character that a URL or a line might trip over.
const secret = fc.string({ unit: fc.constantFrom(..."/?#@:%\\ [],=&'\"é\u{1f511}"), maxLength: 6 }).map((
  odd,
) => `Qz7${odd}kW9xV4`);
const markers = /Qz7|kW9|xV4/;

Deno.test("parseConfig() never repeats a secret that is set in its own variable", () => {
  const dsn = fc.tuple(secret, fc.boolean()).map(([password, encoded]) =>
    `postgres://user:${encoded ? encodeURIComponent(password) : password}@db/notification`
  );
  const cases = fc.record({ password: secret, dsn, others: environment, fromFile: fc.boolean() });
  fc.assert(
    fc.property(cases, ({ password, dsn, others, fromFile }) => {
      const given = { NOTIFICATION_REDIS_PASSWORD: password, NOTIFICATION_POSTGRES_PRIMARY_DSN: dsn };
      const required = { NOTIFICATION_REDIS_MASTER_ADDR: "db:1", NOTIFICATION_USER_SERVICE_BASE_URL: "http://u" };
      const inFiles = Object.entries(given).map(([each, text]) => [fileForm(each), { kind: "read" as const, text }]);
      const secrets: Environment = fromFile
        ? {
          variables: Object.fromEntries(Object.keys(given).map((each) => [fileForm(each), "/f"])),
          notUtf8: [],
          files: Object.fromEntries(inFiles),
        }
        : { variables: given, notUtf8: [], files: {} };
      const alone = { ...secrets, variables: { ...required, ...secrets.variables } };
      const among = { ...secrets, variables: { ...others.variables, ...secrets.variables } };
      assert.doesNotMatch(printed(parseConfig(alone, catalog)), markers);
      assert.doesNotMatch(printed(parseConfig(among, catalog)), markers);
    }),
    { numRuns: 500 },
  );
});

Deno.test("parseConfig() never repeats a secret in a problem or warning, whichever variable contains it", () => {
  // A path that is no secret's is shown when it can't be read, so the catalog's is the one exception.
  const anywhere = [...names.filter((each) => each !== `${prefix}CATALOG_FILE`), ...secretNames.map(fileForm)];
  const places = fc.constantFrom(...anywhere, `${prefix}X`, `${prefix}ADMIN_EMAILS_X`, `${prefix}ADMIN_EMAILS_A_B_C`);
  const wrapped = fc.tuple(fc.constantFrom("", "postgres://u:", "redis://:", "http://u:", "a@b.c,", "1"), secret).map((
    [start, text],
  ) => `${start}${text}@db:1`);
  const unreadable: Record<string, FileContent> = Object.fromEntries(
    secretNames.map((each) => [fileForm(each), { kind: "unreadable", reason: "does not exist" }]),
  );
  fc.assert(
    fc.property(places, fc.oneof(secret, wrapped), environment, (place, text, others) => {
      const variables = { ...others.variables, [place]: text };
      const files = { ...others.files, ...unreadable };
      assert.doesNotMatch(said(parseConfig({ ...others, variables, files }, catalog)).join("\n"), markers);
    }),
    { numRuns: 1_000 },
  );
});

Deno.test("parseConfig() refuses operation time-outs that outlast a claim, and no others", () => {
  const milliseconds = fc.integer({ min: 1, max: 10_000 });
  fc.assert(fc.property(milliseconds, milliseconds, (postgres, redis) => {
    const variables = {
      NOTIFICATION_REDIS_MASTER_ADDR: "db:1",
      NOTIFICATION_REDIS_PASSWORD: "p",
      NOTIFICATION_POSTGRES_PRIMARY_DSN: "postgres://db/x",
      NOTIFICATION_USER_SERVICE_BASE_URL: "http://u",
      NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: `${postgres}ms`,
      NOTIFICATION_REDIS_OPERATION_TIMEOUT: `${redis}ms`,
    };
    const { kind } = parseConfig({ variables, notUtf8: [], files: {} }, catalog);
    assert.equal(kind, postgres + 2 * redis >= 10_000 ? "refused" : "ok");
  }));
});

Deno.test("parseConfig() returns timers that setTimeout can hold", () => {
  assert.ok((parseDuration("596h") ?? Infinity) <= 2 ** 31 - 1);
});
