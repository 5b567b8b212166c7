/**
 * The judgement of decoded entries, given their users and keys: the contract's order of rules, and one judgement for
 * every entry up to a stall.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { embeddedCatalog } from "../notification/catalog.ts";
import { decode } from "../notification/decode.ts";
import type { Intent } from "../notification/intent.ts";
import { ADMINISTRATOR_FIELDS, entryWith } from "../../tests/support/examples.ts";
import type { UserAnswer } from "../user_service/user_answer.ts";
import { type Decoded, intentsWithProblems, judge, type Judgement, keyOf, type Known } from "./judge.ts";

const catalog = embeddedCatalog();

/** Users by the first letter of their id. */
const ANSWERS: Readonly<Record<string, UserAnswer>> = {
  found: { kind: "found", user: { userId: "found", email: "a@b", language: "de" } },
  mute: { kind: "found", user: { userId: "mute", email: "", language: "" } },
  gone: { kind: "not_found" },
  odd: { kind: "invalid", message: "the User Service refused it with status 422" },
  away: { kind: "unavailable", reason: "it answered with status 503", retryAfterMs: 2_000 },
};
const answers = new Map(Object.entries(ANSWERS));

interface Example {
  readonly key?: string;
  readonly users?: readonly string[];
  readonly malformed?: boolean;
  readonly administrators?: boolean;
}

function decoded(
  { key = "k", users = ["found"], malformed = false, administrators = false }: Example,
  id = "1-0",
): Decoded {
  return decode(
    entryWith({
      ...(administrators ? { ...ADMINISTRATOR_FIELDS } : { recipient_user_ids_json: JSON.stringify(users) }),
      idempotency_key: key,
      ...(malformed ? { occurred_at_ms: "" } : {}),
    }, id),
    catalog,
  );
}

function judged(examples: readonly Example[], known: Partial<Known> = {}) {
  const items = examples.map((example, at) => decoded(example, `${at}-0`));
  return judge(items, { answers, recordedKeys: new Set(), administratorEmails: new Map(), ...known });
}

const recorded = (...keys: string[]) =>
  new Set(keys.map((idempotencyKey) => keyOf({ producer: "game-master", idempotencyKey })));

/** The positions of the entries in the batch, by their judgement. */
function positions({ candidates, followers, rejected, covered, stall }: Judgement) {
  const position = ({ entry }: { entry: { id: string } }) => parseInt(entry.id);
  return {
    candidates: candidates.map(({ intent }) => position(intent)),
    followers: followers.map(position),
    rejected: rejected.map(position),
    covered,
    stalls: stall !== undefined,
  };
}

const nothing = { candidates: [], followers: [], rejected: [], stalls: false };

Deno.test("judge() makes candidates with their routes", () => {
  const administratorEmails = new Map([["game.generation_failed", ["ops@example.com"]]]);
  const { candidates, covered, stall } = judged(
    [{ key: "1", users: ["found", "mute"] }, { key: "2", administrators: true }],
    { administratorEmails },
  );
  assert.deepEqual(candidates.map(({ routes }) => routes.map(({ routeId, skipped }) => [routeId, skipped ?? ""])), [
    [
      ["push:user:found", ""],
      ["email:user:found", ""],
      ["push:user:mute", ""],
      ["email:user:mute", "recipient_email_missing"],
    ],
    [["email:address:ops@example.com", ""]],
  ]);
  assert.deepEqual([covered, stall], [2, undefined]);
});

Deno.test("judge() skips administrator mail if no address is configured", () => {
  const [candidate] = judged([{ administrators: true }]).candidates;
  assert.equal(candidate!.routes[0]!.skipped, "admin_emails_not_configured");
});

Deno.test("judge() rejects an intent that the User Service finally refuses, by its first refused user", () => {
  const { rejected } = judged([
    { key: "1", users: ["found", "gone", "odd"] },
    { key: "2", users: ["odd", "gone"] },
    { key: "3", users: ["gone", "away"] },
  ]);
  assert.deepEqual(rejected.map(({ code, message }) => [code, message]), [
    ["recipient_not_found", 'no user "gone" exists'],
    ["invalid_recipients", 'user id "odd": the User Service refused it with status 422'],
    ["recipient_not_found", 'no user "gone" exists'],
  ]);
});

Deno.test("judge() looks at the key before the recipients", () => {
  const known = { recordedKeys: recorded("taken") };
  for (const user of ["gone", "odd", "away"]) {
    const first = positions(judged([{ key: "taken", users: [user] }], known));
    assert.deepEqual(first, { ...nothing, followers: [0], covered: 1 });
    const second = positions(judged([{ key: "k" }, { key: "k", users: [user] }]));
    assert.deepEqual(second, { ...nothing, candidates: [0], followers: [1], covered: 2 });
  }
});

Deno.test("judge() doesn't let a malformed intent use up its key", () => {
  for (const first of [{ malformed: true }, { users: ["gone"] }]) {
    assert.deepEqual(positions(judged([first, {}, {}])), {
      ...nothing,
      candidates: [1],
      followers: [2],
      rejected: [0],
      covered: 3,
    });
  }
});

Deno.test("judge() stops at the first intent that has to wait for the User Service", () => {
  const judgement = judged([{ key: "1" }, { malformed: true }, { key: "2", users: ["found", "away"] }, { key: "3" }]);
  assert.deepEqual(positions(judgement), { ...nothing, candidates: [0], rejected: [1], covered: 2, stalls: true });
  assert.deepEqual(judgement.stall, {
    entryId: "2-0",
    recipient: "away",
    reason: "it answered with status 503",
    retryAfterMs: 2_000,
  });
});

Deno.test("judge() uses the longest Retry-After of the batch, whichever user stalls it", () => {
  const away = (retryAfterMs?: number): UserAnswer => ({
    kind: "unavailable",
    reason: "it can't be reached",
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
  const retryAfterMs = (...waits: (number | undefined)[]) => {
    const known = new Map(waits.map((wait, at) => [`user-${at}`, away(wait)]));
    const items = [...known.keys()].map((user) => ({ key: user, users: [user] }));
    return judged(items, { answers: known }).stall?.retryAfterMs;
  };
  assert.equal(retryAfterMs(undefined, 1_000, 5_000, undefined, 2_000), 5_000);
  assert.equal(retryAfterMs(3_000, undefined), 3_000);
  assert.equal(retryAfterMs(0), 0);
  assert.equal(retryAfterMs(undefined, undefined), undefined);
});

Deno.test("keyOf() is the same only for the same producer and key", () => {
  const key = fc.record({ producer: fc.stringMatching(/^[a-z.-]{1,4}$/), idempotencyKey: fc.string({ minLength: 1 }) });
  fc.assert(fc.property(key, key, (one, other) => {
    const isSame = one.producer === other.producer && one.idempotencyKey === other.idempotencyKey;
    assert.equal(keyOf(one) === keyOf(other), isSame);
  }));
});

Deno.test("judge() returns exactly one judgement for every entry up to a stall, by the rules", () => {
  const example = fc.record({
    key: fc.constantFrom("1", "2", "3", "taken"),
    users: fc.array(fc.constantFrom(...Object.keys(ANSWERS)), { minLength: 1, maxLength: 3 }),
    malformed: fc.boolean(),
    administrators: fc.boolean(),
  }, { requiredKeys: ["key", "users"] });
  fc.assert(
    fc.property(fc.array(example, { maxLength: 12 }), (examples) => {
      const items = examples.map((each, at) => decoded(each, `${at}-0`));
      const doubtful = intentsWithProblems(items, answers);
      const taken = recorded("taken");
      const recordedKeys = new Set(doubtful.map(keyOf).filter((key) => taken.has(key)));
      const judgement = judge(items, { answers, recordedKeys, administratorEmails: new Map() });
      const { candidates, followers, rejected, covered, stalls } = positions(judgement);

      assert.deepEqual(
        [...candidates, ...followers, ...rejected].sort((a, b) => a - b),
        [...items.keys()].slice(0, covered),
      );
      assert.equal(stalls, covered < items.length);
      const keyAt = (at: number) => keyOf(items[at] as Intent);
      const problemAt = (at: number) =>
        (items[at] as Intent).recipientUserIds.map((id) => ANSWERS[id]!.kind).find((kind) => kind !== "found");
      const isTaken = (at: number) =>
        recordedKeys.has(keyAt(at)) || candidates.some((other) => other < at && keyAt(other) === keyAt(at));
      for (const at of candidates) assert.deepEqual([problemAt(at), isTaken(at)], [undefined, false]);
      for (const at of followers) assert.ok(isTaken(at));
      for (const at of rejected) {
        if (items[at]!.kind === "malformed") continue;
        assert.ok(["not_found", "invalid"].includes(problemAt(at)!) && !isTaken(at));
      }
      if (stalls) assert.deepEqual([problemAt(covered), isTaken(covered)], ["unavailable", false]);
    }),
    { numRuns: 500 },
  );
});
