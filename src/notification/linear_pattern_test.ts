/** A pattern matches exactly where JavaScript's own engine matches it with the flag `u`, which is the judge here. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { LinearPattern } from "./linear_pattern.ts";
import { compilePattern } from "./pattern_program.ts";
import { TooManySteps, WorkLimit } from "./work_limit.ts";

function linear(source: string, limit = new WorkLimit()): LinearPattern {
  const compiled = compilePattern(source);
  if (compiled.kind === "refused") throw new Error(`${source} ${compiled.message}`);
  return new LinearPattern(source, { program: compiled.program, limit });
}

function assertAlike(source: string, texts: readonly string[]): void {
  const native = new RegExp(source, "u");
  const pattern = linear(source);
  for (const text of texts) {
    // V8 looks for \B between the two halves of a surrogate pair, too, which are one character with the flag `u`.
    if (source.includes("\\B") && /[\u{10000}-\u{10ffff}]/u.test(text)) continue;
    assert.equal(pattern.test(text), native.test(text), `/${source}/u on ${JSON.stringify(text)}`);
  }
}

Deno.test("LinearPattern matches as RegExp does, construct by construct", () => {
  const texts = [
    ...["", "a", "b", "ab", "ba", "aab", "aaa", "a b", "a\nb", "\n", "a\r", "\u2028", "-", "a-b", "foo bar", "foobar"],
    ...[
      "😀",
      "a😀",
      "😀😀",
      "é",
      "É",
      "Ж",
      "٣",
      "3",
      "42",
      "a_1",
      "\u00a0",
      "\ufeff",
      "\0",
      "]",
      "^",
      "$",
      ".",
      "/",
      "{2}",
    ],
    ...["1-2-3", "x@y.example", "2026-01-31", "192.0.2.1", "00000000-0000-0000-0000-00000000000a"],
  ];
  const sources = [
    ...[
      "",
      "a",
      "ab",
      "a|b",
      "a|",
      "|",
      "(a)(b)",
      "(?:a|b)+",
      "(?<name>a)b",
      "a*",
      "a+?",
      "a??b",
      "a{2}",
      "a{2,}",
      "a{0}b",
    ],
    ...[
      "^",
      "$",
      "^$",
      "^a",
      "a$",
      "^a$",
      "^a|b$",
      "(^a|b)$",
      "a^",
      "$a",
      "(?:^|-)b",
      "a($|b)",
      "(?:^a)*b",
      "(?:$|a)+b",
    ],
    ...["\\b", "\\B", "\\bfoo\\b", "\\Bo", "o\\B", "^\\b", "\\b$", "\\b\\b", "(?:\\b|x)a", "-\\b"],
    ...[".", "^.$", "^..$", "^.*$", "[^]", "[]", "[^a]", "[a-c]", "[-a]", "[a\\-z]", "[\\]]", "[.^$]", "^[\\s\\S]+$"],
    ...[
      "\\d",
      "\\D",
      "\\w",
      "\\W",
      "\\s",
      "\\S",
      "[\\d_]",
      "\\n",
      "\\r",
      "\\t",
      "\\0",
      "\\x61",
      "\\u0061",
      "\\u{1f600}",
      "\\cJ",
    ],
    ...[
      "\\p{L}",
      "\\p{Lu}",
      "\\P{L}",
      "\\p{Script=Cyrillic}",
      "^\\p{Emoji}$",
      "[\\p{L}\\p{N}]+",
      "\\ud83d\\ude00",
      "😀{2}",
      "[😀é]",
    ],
    ...["\\.", "\\$", "\\^", "\\/", "\\{2\\}", "\\]", "\\|", "(a*)*", "(a*)+b", "(a|a)*b", "((a?)?)?$", "(?:(?:)*)*a"],
    ...["^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "^(?:[0-9]{1,3}\\.){3}[0-9]{1,3}$", "^[^@\\s]+@[^@\\s]+$"],
    "^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
  ];
  for (const source of sources) assertAlike(source, texts);
});

const { pattern } = fc.letrec<{ pattern: string }>((tie) => {
  const atom = fc.constantFrom(
    ...["a", "b", "-", "😀", ".", "\\w", "\\W", "\\s", "[ab]", "[^a]", "[^😀]", "\\p{L}", "\\b", "\\B", "^", "$"],
  );
  const quantified = fc.tuple(tie("pattern"), fc.constantFrom("*", "+", "?", "*?", "{2}", "{0,2}", "{1,}"));
  return {
    pattern: fc.oneof(
      { maxDepth: 4, depthSize: "small" },
      atom,
      fc.array(tie("pattern"), { minLength: 1, maxLength: 4 }).map((parts) => parts.join("")),
      fc.tuple(tie("pattern"), tie("pattern")).map(([a, b]) => `(?:${a}|${b})`),
      quantified.map(([part, times]) => `(${part})${times}`),
    ),
  };
});

Deno.test("LinearPattern takes needless escapes as RegExp does without the flag u", () => {
  const sources = ["^\\d{3}\\-\\d{4}$", "^[a\\-z]\\@[\\@\\w\\-.]+$", "\\#\\_\\ ", "\\\\-", "[\\]\\-]\\-", "a\\:b|\\%"];
  const texts = ["123-4567", "123 4567", "a@x-1.y", "b@x", "-@@", "#_ ", "\\-", "]-", "--", "a:b", "%", ""];
  for (const source of sources) {
    for (const text of texts) {
      assert.equal(linear(source).test(text), new RegExp(source).test(text), `/${source}/ on ${JSON.stringify(text)}`);
    }
  }
  for (const source of ["\\i", "[\\i]", "(\\-"]) assert.equal(compilePattern(source).kind, "refused", source);
});

Deno.test("LinearPattern matches as RegExp does, whatever the pattern and the text", () => {
  const text = fc.array(fc.constantFrom("a", "b", "-", " ", "\n", "😀", "é"), { maxLength: 8 }).map((parts) =>
    parts.join("")
  );
  fc.assert(fc.property(pattern, fc.array(text, { maxLength: 6 }), assertAlike), { numRuns: 3_000 });
});

Deno.test("LinearPattern remembers nothing wrong when it has dropped what it knew", () => {
  const source = "[ab].{14}[ab]$";
  const limit = new WorkLimit();
  const pattern = linear(source, limit);
  const native = new RegExp(source, "u");
  let seed = 1;
  for (let round = 0; round < 200; round++) {
    limit.start();
    let text = "";
    while (text.length < 500) text += "abcé"[(seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 30];
    assert.equal(pattern.test(text), native.test(text));
    // Ever other characters, more than it keeps.
    const others = Array.from({ length: 500 }, (_, at) => String.fromCodePoint(0x4e00 + (round * 500 + at) % 20_000));
    assert.equal(pattern.test(others.join("")), false);
  }
});

Deno.test("LinearPattern stays right when it drops the kinds of characters that it knew", () => {
  // Each character is a kind of its own.
  const characters = Array.from({ length: 4_900 }, (_, at) => String.fromCodePoint(0x4e00 + at));
  const limit = new WorkLimit();
  const pattern = linear(`^(?:${characters.join("|")})+x$`, limit);
  for (let at = 0; at < characters.length; at += 20) {
    limit.start();
    const some = characters.slice(at, at + 20).join("");
    assert.equal(pattern.test(`${some}x`), true);
    assert.equal(pattern.test(`${some}y`), false);
  }
});

Deno.test("LinearPattern stops where its states are ever new and large", () => {
  const limit = new WorkLimit();
  const pattern = linear("[ab].{900}[q-z]$", limit);
  let text = "";
  for (let seed = 7; text.length < 2 ** 18;) {
    text += "ac"[(seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0) >>> 31];
  }
  assert.throws(() => pattern.test(text), TooManySteps);
  for (let length = 900; length < 1_000; length++) {
    limit.start();
    const short = `${text.slice(0, length)}q`;
    assert.equal(pattern.test(short), new RegExp(pattern.source, "u").test(short));
  }
});
