/** Levels, the limit on warnings and errors of one kind, and a blocked output. */
import assert from "node:assert/strict";
import { captureLog } from "../../tests/support/captured_log.ts";
import { loggerOf } from "./logger.ts";
import { setUpLogging } from "./logging.ts";

Deno.test("setUpLogging() writes lines of the level and above, with their logger's name", async () => {
  const expected: Record<"debug" | "info" | "warn" | "error", string[]> = {
    debug: ["debug", "info", "warn", "error"],
    info: ["info", "warn", "error"],
    warn: ["warn", "error"],
    error: ["error"],
  };
  for (const level of ["debug", "info", "warn", "error"] as const) {
    await using log = captureLog(level);
    const logger = loggerOf("push_publisher");
    logger.debug("d");
    logger.info("i", { route_id: "push:user:1" });
    logger.warn("w");
    logger.error("e");
    const lines = await log.lines();
    assert.deepEqual(lines.map((line) => line["level"]), expected[level]);
    assert.ok(lines.every((line) => line["logger"] === "push_publisher"));
    if (level === "info") assert.equal(lines[0]!["route_id"], "push:user:1");
  }
});

Deno.test("setUpLogging() writes ten lines of a kind per second, then how many more there were", async () => {
  await using log = captureLog();
  const logger = loggerOf("email_publisher");
  for (let n = 0; n < 25; n++) logger.warn("attempt failed", { n });
  for (let n = 0; n < 3; n++) logger.error("attempt failed");
  for (let n = 0; n < 11; n++) loggerOf("push_publisher").warn("attempt failed");
  for (let n = 0; n < 30; n++) logger.info("many");
  const lines = await log.lines();
  const of = (level: string, logger: string) =>
    lines.filter((line) => line["level"] === level && line["logger"] === logger);
  assert.deepEqual(of("warn", "email_publisher").map((line) => line["n"] ?? [line["message"], line["lines"]]), [
    ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    ["attempt failed (more lines of this kind in the last second)", 15],
  ]);
  assert.deepEqual([of("error", "email_publisher").length, of("info", "email_publisher").length], [3, 30]);
  assert.equal(of("warn", "push_publisher").at(-1)!["lines"], 1);
});

Deno.test("setUpLogging() reports the held-back lines at the end of the second, and begins to count again", async () => {
  await using log = captureLog();
  const logger = loggerOf("intent_consumer");
  const burst = (count: number) => {
    for (let n = 0; n < count; n++) logger.warn("malformed intent");
  };
  burst(15);
  await new Promise((resolve) => setTimeout(resolve, 1_050));
  burst(5);
  const lines = (await log.lines()).map((line) => line["lines"] ?? "line");
  assert.deepEqual(lines, [...Array(10).fill("line"), 5, ...Array(5).fill("line")]);
});

Deno.test("setUpLogging() reports in a line of its own how many lines a blocked output cost", async () => {
  const blocked = Promise.withResolvers<void>();
  let text = "";
  const logging = setUpLogging({ level: "info", format: "json" }, {
    async write(bytes) {
      await blocked.promise;
      text += new TextDecoder().decode(bytes);
      return bytes.length;
    },
  });
  const logger = loggerOf("intent_consumer");
  for (let n = 0; n < 20; n++) logger.info("accepted", { filler: "x".repeat(1_000_000) });
  logger.error("this one matters");
  await logging.flush(20);
  assert.equal(text, "");
  blocked.resolve();
  await logging.flush(5_000);
  const lines = text.trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.filter(({ message }) => message === "accepted").length, 7);
  assert.equal(lines.filter(({ message }) => message === "this one matters").length, 1);
  const { time: _, ...line } = lines.at(-1)!;
  assert.deepEqual(line, {
    level: "warn",
    logger: "log",
    message: "log lines dropped: the output is blocked",
    dropped: 13,
  });
  logging.stop();
});

Deno.test("setUpLogging() writes readable text if that is configured", async () => {
  let text = "";
  const logging = setUpLogging({ level: "info", format: "text" }, {
    write(bytes) {
      text += new TextDecoder().decode(bytes);
      return Promise.resolve(bytes.length);
    },
  });
  loggerOf("internal_http").info("started", { port: 8092 });
  await logging.flush(1_000);
  assert.match(text, /^\S+Z INFO {2}internal_http: started port=8092\n$/);
  logging.stop();
});

Deno.test("setUpLogging() counts lines that differ in their numbers alone as one kind", async () => {
  await using log = captureLog();
  for (let n = 0; n < 12; n++) loggerOf("intent_consumer").error(`${n} entries were trimmed unread`);
  const messages = (await log.lines()).map(({ message }) => message);
  assert.equal(messages.length, 11);
  assert.equal(messages.at(-1), "11 entries were trimmed unread (more lines of this kind in the last second)");
});

Deno.test("a logger takes a message as it is, and writes a line also for a field that is no JSON", async () => {
  await using log = captureLog();
  const logger = loggerOf("open_telemetry");
  logger.info("a {braced} message", { braced: 1 });
  logger.warn("counted", { count: 1n });
  const [braced, counted] = await log.lines();
  assert.deepEqual([braced?.["message"], braced?.["braced"]], ["a {braced} message", 1]);
  assert.deepEqual([counted?.["level"], counted?.["message"]], ["warn", "counted"]);
  assert.match(String(counted?.["log_error"]), /BigInt/);
});

Deno.test("a logger drops lines before it is set up and after it is stopped", async () => {
  const logger = loggerOf("intent_consumer");
  logger.error("before");
  const log = captureLog();
  logger.error("during");
  assert.deepEqual(await log.messages(), ["error during"]);
  await log[Symbol.asyncDispose]();
  logger.error("after");
  assert.deepEqual(await log.messages(), ["error during"]);
});
