/** Examples and properties of parseDuration(): exact sums, nothing but Go's syntax without signs. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { parseDuration } from "./durations.ts";

Deno.test("parseDuration() returns whole milliseconds", () => {
  const examples: Record<string, number> = {
    "250ms": 250,
    "5s": 5_000,
    "1.5s": 1_500,
    "1h30m": 5_400_000,
    "720h": 2_592_000_000,
    "0s": 0,
    "0": 0,
    "0h0m0s": 0,
    ".5s": 500,
    "1.s": 1_000,
    "1m1h": 3_660_000,
    "1s1s": 2_000,
    "1000us": 1,
    "1000µs": 1,
    "1000μs": 1,
    "1000000ns": 1,
    "0.001s": 1,
    "1.0000s": 1_000,
    "005s": 5_000,
    "0.1h": 360_000,
    "9007199254740991ms": Number.MAX_SAFE_INTEGER,
  };
  for (const [text, milliseconds] of Object.entries(examples)) assert.equal(parseDuration(text), milliseconds, text);
});

Deno.test("parseDuration() refuses text that is not a duration of whole milliseconds", () => {
  const examples = [
    ..."|5|1|s|.s|.|-5s|+5s|5 s| 5s|5s |5s\n|5S|5sec|5d|1w|1h-30m|1h 30m|1,5s|1..5s|1e3s|0x5s|٥s|NaN|Infinity".split(
      "|",
    ),
    "1ns",
    "0.5ms",
    "1.0005s",
    "0.3333333333333s",
    "9007199254740992ms",
    `${"9".repeat(30)}h`,
    `${"1s".repeat(40)}`,
  ];
  for (const text of examples) assert.equal(parseDuration(text), undefined, JSON.stringify(text));
});

Deno.test("parseDuration() adds up the parts, in any order", () => {
  const unit = fc.constantFrom(["ms", 1], ["s", 1_000], ["m", 60_000], ["h", 3_600_000] as const);
  const parts = fc.array(fc.tuple(fc.nat(99_999), unit), { minLength: 1, maxLength: 6 });
  fc.assert(fc.property(parts, (list) => {
    const text = list.map(([amount, [name]]) => `${amount}${name}`).join("");
    assert.equal(parseDuration(text), list.reduce((sum, [amount, [, scale]]) => sum + amount * Number(scale), 0), text);
  }));
});

Deno.test("parseDuration() reads a decimal fraction exactly", () => {
  fc.assert(fc.property(fc.nat(2_000_000_000), (milliseconds) => {
    const seconds = `${Math.floor(milliseconds / 1_000)}.${String(milliseconds % 1_000).padStart(3, "0")}s`;
    assert.equal(parseDuration(seconds), milliseconds, seconds);
  }));
});

Deno.test("parseDuration() never throws, and returns a safe integer or undefined", () => {
  const likely = fc.string({ unit: fc.constantFrom(..."0123456789.-+nuµmsh ".split("")), maxLength: 80 });
  fc.assert(fc.property(fc.oneof(likely, fc.string({ unit: "binary" })), (text) => {
    const value = parseDuration(text);
    assert.ok(value === undefined || (Number.isSafeInteger(value) && value >= 0), JSON.stringify(text));
  }));
});
