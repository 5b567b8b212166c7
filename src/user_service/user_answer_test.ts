/** Section 3 of docs/contract.md: which answers are final about a user, and that no others are. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { retryAfterMs, userAnswer } from "./user_answer.ts";

const answerTo = (user: unknown) => userAnswer("u-1", 200, JSON.stringify({ user }));

Deno.test("userAnswer() finds a user with address and language", () => {
  const user = { user_id: "u-1", email: "One@example.com", preferred_language: "en-US", age: 3 };
  assert.deepEqual(userAnswer("u-1", 200, JSON.stringify({ user, error: "ignored", more: [] })), {
    kind: "found",
    user: { userId: "u-1", email: "One@example.com", language: "en-US" },
  });
});

Deno.test("userAnswer() treats an absent, null, empty or unusable address as none", () => {
  const unusable = [
    undefined,
    null,
    "",
    "example.com",
    "a @b",
    "a@b ",
    "\ta@b",
    "a@b\n",
    "a@\u00a0b",
    "a@\u0085b",
    "a\u2003@b",
    "\ufeffa@b",
    "a\0@b",
    "\ud800@b",
    "a@b\udc00",
    `${"x".repeat(319)}@b`,
    `${"😀".repeat(319)}@b`,
  ];
  for (const email of unusable) {
    const answer = answerTo({ user_id: "u-1", email, preferred_language: "de" });
    assert.deepEqual(
      answer,
      { kind: "found", user: { userId: "u-1", email: "", language: "de" } },
      JSON.stringify(email),
    );
  }
});

Deno.test("userAnswer() keeps a usable address as it is", () => {
  for (
    const email of ["@", "a@b", "A.b+c@münchen.example", `${"x".repeat(318)}@b`, `${"😀".repeat(318)}@b`, '"q"@[::1]']
  ) {
    const answer = answerTo({ user_id: "u-1", email });
    assert.equal(answer.kind === "found" && answer.user.email, email);
  }
});

Deno.test("userAnswer() treats an absent, null, empty or unusable language as none", () => {
  const languageOf = (preferred_language: unknown) => {
    const answer = answerTo({ user_id: "u-1", preferred_language });
    return answer.kind === "found" ? answer.user.language : answer.kind;
  };
  for (const language of ["en", "en-US", "zh-Hant-TW", "de-CH-1901", "tlh"]) {
    assert.equal(languageOf(language), language);
  }
  const unusable = [
    undefined,
    null,
    "",
    " ",
    "e",
    "en_US",
    "en-",
    "-en",
    "en US",
    "en-US\n",
    "en;q=1",
    "../en",
    "x".repeat(36),
    "1n",
  ];
  for (const language of unusable) assert.equal(languageOf(language), "", JSON.stringify(language));
});

Deno.test("userAnswer() is a final refusal when the User Service refuses in its own format", () => {
  for (
    const body of ['{"error":"no such user"}', '{"error":{"code":1}}', '{"error":null,"more":1}', '{"error":false}']
  ) {
    assert.deepEqual(userAnswer("u-1", 404, body), { kind: "not_found" });
    for (const status of [400, 410, 422]) {
      const message = `the User Service refused it with status ${status}`;
      assert.deepEqual(userAnswer("u-1", status, body), { kind: "invalid", message });
    }
  }
});

Deno.test("userAnswer() is unavailable for anything else", () => {
  const user = { user_id: "u-1", email: "a@b" };
  const examples: [status: number, body: string][] = [
    ...[
      "",
      "not found",
      "<html>",
      "null",
      "[]",
      '["error"]',
      '"error"',
      "{}",
      '{"Error":1}',
      '{"__proto__":{"error":1}}',
      '{"error":',
    ]
      .flatMap((body) => [400, 404, 410, 422].map((status): [number, string] => [status, body])),
    ...[100, 201, 204, 301, 302, 304, 401, 403, 405, 409, 429, 500, 502, 503]
      .map((status): [number, string] => [status, JSON.stringify({ user, error: "x" })]),
    [200, ""],
    [200, "{}"],
    [200, "null"],
    [200, JSON.stringify(user)],
    [200, JSON.stringify([{ user }])],
    [200, '{"error":"no such user"}'],
    ...[null, "u-1", [user], 1, {}, { email: "a@b" }, { ...user, user_id: "U-1" }, { ...user, user_id: 1 }, {
      ...user,
      user_id: null,
    }]
      .map((user): [number, string] => [200, JSON.stringify({ user })]),
    ...[1, true, {}, ["a@b"]].flatMap((odd): [number, string][] => [
      [200, JSON.stringify({ user: { ...user, email: odd } })],
      [200, JSON.stringify({ user: { ...user, preferred_language: odd } })],
    ]),
  ];
  for (const [status, body] of examples) {
    const answer = userAnswer("u-1", status, body);
    assert.equal(answer.kind, "unavailable", `${status} ${body}`);
    assert.ok(answer.kind === "unavailable" && answer.reason !== "");
  }
});

Deno.test("userAnswer() accepts any status and body without throwing, and never confuses two users", () => {
  const body = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.json(),
    fc.record({ user: fc.record({ user_id: fc.constantFrom("u-1", "u-2"), email: fc.jsonValue() }) }).map((value) =>
      JSON.stringify(value)
    ),
  );
  fc.assert(fc.property(fc.constantFrom(200, 400, 404, 500), body, (status, text) => {
    const answer = userAnswer("u-1", status, text);
    if (answer.kind === "found") assert.equal(JSON.parse(text).user.user_id, "u-1");
    if (answer.kind === "not_found") assert.equal(status, 404);
  }));
});

Deno.test("retryAfterMs() reads seconds and dates, up to a minute", () => {
  const now = Date.UTC(2026, 0, 1);
  const examples: [string | null, number | undefined][] = [
    [null, undefined],
    ["", undefined],
    ["soon", undefined],
    ["0", 0],
    ["5", 5_000],
    [" 7 ", 7_000],
    ["60", 60_000],
    ["61", 60_000],
    ["9".repeat(400), 60_000],
    [new Date(now + 3_000).toUTCString(), 3_000],
    [new Date(now + 3_600_000).toUTCString(), 60_000],
    [new Date(now - 3_000).toUTCString(), 0],
  ];
  for (const [header, milliseconds] of examples) assert.equal(retryAfterMs(header, now), milliseconds, `${header}`);
});

Deno.test("userAnswer() names another spelling of the id that was asked for", () => {
  const reasonOf = (asked: string, user_id: unknown) => {
    const answer = userAnswer(asked, 200, JSON.stringify({ user: { user_id } }));
    return answer.kind === "unavailable" ? answer.reason : answer.kind;
  };
  for (const [asked, answered] of [["U1", "u1"], ["u1", " u1"], ["caf\u00e9", "cafe\u0301"]] as const) {
    assert.equal(
      reasonOf(asked, answered),
      `it answered about ${JSON.stringify(answered)}, which is another spelling of ${JSON.stringify(asked)}; ` +
        "ids are compared exactly",
    );
  }
  for (const other of ["u2", "", 1, null, undefined]) {
    assert.equal(reasonOf("u1", other), "it answered about another user");
  }
});
