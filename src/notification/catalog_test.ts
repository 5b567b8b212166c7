/**
 * The default catalog word for word, and the messages for a broken catalog: every problem, each with its place.
 */
import assert from "node:assert/strict";
import { administratorTypes, type Catalog, embeddedCatalog, loadCatalog } from "./catalog.ts";

const text = (name: string) => [name, { type: "string", minLength: 1 }];
const integer = (name: string) => [name, { type: "integer", minimum: 1 }];
const game = [text("game_id"), text("game_name")];

/** docs/contract.md, section 2: type, producer, audiences with their channels, payload members, all required. */
const DEFAULT: [string, string, Record<string, string[]>, (string | object)[][]][] = [
  ["game.turn.ready", "game-master", { user: ["push", "email"] }, [...game, integer("turn_number")]],
  ["game.finished", "game-master", { user: ["push", "email"] }, [...game, integer("final_turn_number")]],
  ["game.generation_failed", "game-master", { admin_email: ["email"] }, [...game, text("failure_reason")]],
  ["lobby.runtime_paused_after_start", "game-lobby", { admin_email: ["email"] }, game],
  [
    "lobby.application.submitted",
    "game-lobby",
    { user: ["push", "email"], admin_email: ["email"] },
    [...game, text("applicant_user_id"), text("applicant_name")],
  ],
  ["lobby.membership.approved", "game-lobby", { user: ["push", "email"] }, game],
  ["lobby.membership.rejected", "game-lobby", { user: ["push", "email"] }, game],
  [
    "lobby.invite.created",
    "game-lobby",
    { user: ["push", "email"] },
    [...game, text("inviter_user_id"), text("inviter_name")],
  ],
  [
    "lobby.invite.redeemed",
    "game-lobby",
    { user: ["push", "email"] },
    [...game, text("invitee_user_id"), text("invitee_name")],
  ],
  [
    "lobby.invite.expired",
    "game-lobby",
    { user: ["email"] },
    [...game, text("invitee_user_id"), text("invitee_name")],
  ],
  ["notification.smoke_test", "notification-service", { user: ["push"] }, [text("note")]],
  [
    "geo.review_recommended",
    "geo-profile",
    { admin_email: ["email"] },
    [text("user_id"), text("observed_country"), text("usual_country"), text("review_reason")],
  ],
];

Deno.test("embeddedCatalog() is the default catalog", () => {
  const catalog = embeddedCatalog();
  assert.deepEqual([...catalog.keys()].sort(), DEFAULT.map(([name]) => name).sort());
  for (const [name, producer, audiences, members] of DEFAULT) {
    const type = catalog.get(name)!;
    assert.equal(type.name, name);
    assert.deepEqual(type.producers, [producer]);
    assert.deepEqual({ ...type.audiences }, audiences);
    assert.deepEqual(type.payloadSchema, {
      type: "object",
      required: members.map(([member]) => member),
      properties: Object.fromEntries(members),
    });
  }
});

Deno.test("embeddedCatalog() is what loadCatalog() makes of its file", async () => {
  const loaded = loadCatalog(await Deno.readTextFile(new URL("default_catalog.json", import.meta.url)));
  assert.deepEqual(loaded.kind === "broken" ? loaded.problems : [], []);
  const withoutChecks = (catalog: Catalog) =>
    [...catalog].map(([name, { payloadProblem: _, ...type }]) => [name, type]);
  assert.deepEqual(withoutChecks(embeddedCatalog()), loaded.kind === "ok" && withoutChecks(loaded.catalog));
});

Deno.test("administratorTypes() returns the types that go to administrators", () => {
  assert.deepEqual(administratorTypes(embeddedCatalog()).sort(), [
    "game.generation_failed",
    "geo.review_recommended",
    "lobby.application.submitted",
    "lobby.runtime_paused_after_start",
  ]);
});

Deno.test("embeddedCatalog() accepts a payload with its required members, and says which is wrong", () => {
  const catalog = embeddedCatalog();
  for (const [name, , , members] of DEFAULT) {
    const { payloadProblem } = catalog.get(name)!;
    const valid = members.map(([member, schema]) => [member, "minimum" in (schema as object) ? 1 : "x"]);
    assert.equal(payloadProblem(Object.fromEntries([...valid, ["more", { anything: [null] }]])), undefined);
    for (const [member] of members) {
      const others = valid.filter(([other]) => other !== member);
      assert.equal(payloadProblem(Object.fromEntries(others)), `${member}: is missing`);
      for (const wrong of ["", null, 0, -1, 1.5, [], {}]) {
        assert.match(
          payloadProblem(Object.fromEntries([...others, [member, wrong]])) ?? "",
          new RegExp(`^${member}: `),
        );
      }
    }
  }
});

const type = { producers: ["p"], audiences: { user: ["push"] }, payload: { type: "object" } };
const load = (types: unknown) => loadCatalog(JSON.stringify({ types }));

Deno.test("loadCatalog() takes an operator's catalog", () => {
  const loaded = load({
    "a.b-c:d_1": { ...type, description: "A thing", producers: ["p", "q"], audiences: { user: ["email", "push"] } },
    z: { ...type, audiences: { admin_email: ["email"] } },
  });
  assert.equal(loaded.kind, "ok");
  const catalog = loaded.kind === "ok" ? loaded.catalog : new Map();
  assert.deepEqual([...catalog.keys()], ["a.b-c:d_1", "z"]);
  assert.equal(catalog.get("a.b-c:d_1").description, "A thing");
  assert.deepEqual(catalog.get("a.b-c:d_1").producers, ["p", "q"]);
  assert.equal(catalog.get("z").description, "");
});

Deno.test("loadCatalog() names the place of what is broken", () => {
  const form = 'must match the pattern "^[A-Za-z0-9][A-Za-z0-9._:-]*$"';
  const name = `is not allowed as a name, which ${form}`;
  const examples: [text: string, problems: (string | RegExp)[]][] = [
    ["", ["is not JSON: it ends too early"]],
    ["{", ["is not JSON: line 1, column 2"]],
    ['{"types":\n  {"a" 1}}', ["is not JSON: line 2, column 8"]],
    // V8 quotes these.
    ["hunter2\n", ["is not JSON: line 1, column 1"]],
    ['["hunter2",\r\n\n "\\n" , ]', ["is not JSON: line 3, column 9"]],
    ["NaN", ["is not JSON: line 1, column 1"]],
    ["[tru\ne]", ["is not JSON: line 1, column 5"]],
    [`[${'"hunter2",'.repeat(20)}\thunter2]`, ["is not JSON: line 1, column 203"]],
    ["[]", ["/: must be an object, got an array"]],
    ["null", ["/: must be an object, got null"]],
    ["{}", ["/types: is missing"]],
    ['{"types":{}}', ["/types: must have at least 1 member"]],
    ['{"types":{},"Types":{}}', ["/Types: is not allowed here", "/types: must have at least 1 member"]],
  ];
  const broken: [types: unknown, problems: (string | RegExp)[]][] = [
    [{ "bad name": type }, [`/types/bad name: ${name}`]],
    [{ _: type }, [`/types/_: ${name}`]],
    [{ ["a".repeat(129)]: type }, [
      /^\/types\/a{129}: is not allowed as a name, which must have at most 128 characters$/,
    ]],
    [{ "a\nb": type }, [`/types/a\\u000ab: ${name}`]],
    [{ a: { ...type, "c\r\u2028": 1 } }, ["/types/a/c\\u000d\\u2028: is not allowed here"]],
    [{ a: null }, ["/types/a: must be an object, got null"]],
    [{ a: { ...type, description: 1 } }, ["/types/a/description: must be a string, got 1"]],
    [{ a: { ...type, producers: [] } }, ["/types/a/producers: must have at least 1 item"]],
    [{ a: { ...type, producers: ["p", "p"] } }, ["/types/a/producers: must not have an item twice"]],
    [{ a: { ...type, producers: ["p", "p q"] } }, [`/types/a/producers/1: ${form}`]],
    [{ a: { ...type, audiences: {} } }, ["/types/a/audiences: must have at least 1 member"]],
    [{ a: { ...type, audiences: { everybody: ["push"] } } }, ["/types/a/audiences/everybody: is not allowed here"]],
    [{ a: { ...type, audiences: { user: [] } } }, ["/types/a/audiences/user: must have at least 1 item"]],
    [{ a: { ...type, audiences: { user: ["sms"] } } }, ['/types/a/audiences/user/0: must be one of "push", "email"']],
    [{ a: { ...type, audiences: { user: ["push", "push"] } } }, [
      "/types/a/audiences/user: must not have an item twice",
    ]],
    [{ a: { ...type, audiences: { admin_email: ["push"] } } }, ['/types/a/audiences/admin_email/0: must be "email"']],
    [{ a: { ...type, colour: 1 } }, ["/types/a/colour: is not allowed here"]],
    [{ a: { ...type, payload: [] } }, ["/types/a/payload: must be an object, got an array"]],
    [{ a: { ...type, payload: {} } }, ['/types/a/payload/type: must be "object"']],
    [
      { "a": { ...type, payload: { type: "object", properties: { "x/y~z": { type: "strin" } } } }, b: type },
      [/^\/types\/a\/payload\/properties\/x~1y~0z\/type: must be one of "array", "boolean", /],
    ],
    [
      {
        a: { ...type, payload: { type: "array" } },
        b: {
          ...type,
          payload: { type: "object", unevaluatedItems: {}, required: 1, properties: { x: { pattern: "(?=a)" } } },
        },
      },
      [
        '/types/a/payload/type: must be "object"',
        "/types/b/payload/unevaluatedItems: is no keyword that this service knows",
        "/types/b/payload/required: must be an array, got 1",
        /^\/types\/b\/payload\/properties\/x\/pattern: must not look ahead or behind/,
      ],
    ],
  ];
  for (const [types, problems] of broken) examples.push([JSON.stringify({ types }), problems]);
  for (const [file, expected] of examples) {
    const loaded = loadCatalog(file);
    const problems = loaded.kind === "broken" ? loaded.problems : [];
    assert.equal(problems.length, expected.length, `${file}: ${problems.join("; ")}`);
    for (const [at, problem] of expected.entries()) {
      if (typeof problem === "string") assert.equal(problems[at], problem);
      else assert.match(problems[at]!, problem);
    }
  }
});
