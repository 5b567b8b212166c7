/** One line per record, as JSON or as readable text. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { logLine } from "./log_lines.ts";
import { LOG_LEVELS, type LogRecord } from "./logger.ts";

const record = (changes: Partial<LogRecord> = {}): LogRecord => ({
  timestamp: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  level: "info",
  logger: "intent_consumer",
  message: "accepted",
  fields: {},
  ...changes,
});

Deno.test("logLine() returns one JSON object per line, with time, level, logger and message first", () => {
  const fields = {
    notification_type: "game.turn.ready",
    lines: 3,
    reason: 'two\nlines "☃"',
    request_id: undefined,
  };
  assert.equal(
    logLine(record({ fields }), "json"),
    '{"time":"2026-01-02T03:04:05.678Z","level":"info","logger":"intent_consumer","message":"accepted",' +
      '"notification_type":"game.turn.ready","lines":3,"reason":"two\\nlines \\"☃\\""}\n',
  );
});

Deno.test("logLine() spells the levels as LOG_LEVEL does", () => {
  for (const level of LOG_LEVELS) {
    assert.equal(JSON.parse(logLine(record({ level }), "json")).level, level);
    assert.ok(
      logLine(record({ level }), "text").startsWith(`2026-01-02T03:04:05.678Z ${level.toUpperCase().padEnd(5)} `),
    );
  }
});

Deno.test("logLine() returns a readable text line", () => {
  const fields = {
    stream: "notification:intents",
    entries: 3,
    reason: "no such user",
    empty: "",
    list: ["a"],
    none: undefined,
    nothing: null,
    odd: 'a="b"',
  };
  assert.equal(
    logLine(record({ fields }), "text"),
    "2026-01-02T03:04:05.678Z INFO  intent_consumer: accepted stream=notification:intents entries=3 " +
      'reason="no such user" empty="" list="[\\"a\\"]" nothing=null odd="a=\\"b\\""\n',
  );
});

Deno.test("logLine() escapes line breaks and terminal sequences", () => {
  const evil = fc.string({
    unit: fc.constantFrom(...'\n\r\t\0\x1b\x07\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200f\ufeffab "\\'),
  });
  fc.assert(fc.property(evil, evil, (message, reason) => {
    const evilRecord = record({ message, fields: { reason } });
    const text = logLine(evilRecord, "text");
    assert.match(text, /^[^\p{Cc}\p{Cf}\u2028\u2029]*\n$/u);
    const json = logLine(evilRecord, "json");
    assert.match(json, /^[^\p{Cc}\p{Cf}\u2028\u2029]*\n$/u);
    const { message: kept, reason: keptReason } = JSON.parse(json);
    assert.deepEqual([kept, keptReason], [message, reason]);
  }));
});

Deno.test("logLine() keeps each record's own time", () => {
  const times = [0, 1, 1, 1_700_000_000_000, 0].map((timestamp) =>
    JSON.parse(logLine(record({ timestamp }), "json")).time
  );
  assert.deepEqual(times, [
    "1970-01-01T00:00:00.000Z",
    "1970-01-01T00:00:00.001Z",
    "1970-01-01T00:00:00.001Z",
    "2023-11-14T22:13:20.000Z",
    "1970-01-01T00:00:00.000Z",
  ]);
});
