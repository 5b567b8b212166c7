/** Lines reach the output whole and in order; while it is blocked they are dropped, info first, and counted. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { eventually } from "../../tests/support/wait.ts";
import { LogBuffer, type LogOutput } from "./log_buffer.ts";

const MEBIBYTE = 1024 * 1024;
const droppedLine = (dropped: number) => `dropped ${dropped}\n`;
const info = { important: false };
const warning = { important: true };

/** An output that accepts a set number of bytes per write, and nothing while it is blocked. */
class Output implements LogOutput {
  text = "";
  writes = 0;
  readonly #most: number;
  readonly #decoder = new TextDecoder();
  #blocked: PromiseWithResolvers<void> | undefined;

  constructor(most = Infinity) {
    this.#most = most;
  }

  block(): void {
    this.#blocked ??= Promise.withResolvers();
  }

  unblock(): void {
    this.#blocked?.resolve();
    this.#blocked = undefined;
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.#blocked?.promise;
    this.writes++;
    const taken = bytes.subarray(0, this.#most);
    this.text += this.#decoder.decode(taken, { stream: true });
    return taken.length;
  }
}

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

Deno.test("LogBuffer writes by itself after a moment, many lines at once", async () => {
  const output = new Output();
  const buffer = new LogBuffer(output, droppedLine);
  for (let n = 0; n < 1_000; n++) buffer.add(`line ${n}\n`, info);
  assert.equal(output.writes, 0);
  await eventually(() => output.text !== "");
  assert.equal(output.text, Array.from({ length: 1_000 }, (_, n) => `line ${n}\n`).join(""));
  assert.equal(output.writes, 1);
});

Deno.test("LogBuffer doesn't wait when there is much to write", async () => {
  const output = new Output();
  const buffer = new LogBuffer(output, droppedLine);
  for (let n = 0; n < 70; n++) buffer.add("x".repeat(1_023) + "\n", info);
  await later(0);
  assert.ok(output.writes >= 1);
  await buffer.flush(1_000);
  assert.equal(output.text.length, 70 * 1_024);
});

Deno.test("flush() resolves when everything is written, also lines that are added meanwhile", async () => {
  const output = new Output(3);
  const buffer = new LogBuffer(output, droppedLine);
  buffer.add("one ☃\n", info);
  const flushed = buffer.flush(1_000);
  buffer.add("two 😀\n", warning);
  await flushed;
  assert.equal(output.text, "one ☃\ntwo 😀\n");
  await buffer.flush(1_000);
  assert.equal(output.text, "one ☃\ntwo 😀\n");
});

Deno.test("flush() waits for a blocked output no longer than its bound", async () => {
  const output = new Output();
  output.block();
  const buffer = new LogBuffer(output, droppedLine);
  buffer.add("line\n", info);
  const startedAt = performance.now();
  await buffer.flush(30);
  const took = performance.now() - startedAt;
  assert.ok(took >= 25 && took < 10_000, `${took}`);
  output.unblock();
  await buffer.flush(1_000);
  assert.equal(output.text, "line\n");
});

Deno.test("flush() continues while the output accepts bytes, however slow it is", async () => {
  const output = new Output();
  const buffer = new LogBuffer({
    write: async (bytes) => {
      await later(40);
      return await output.write(bytes);
    },
  }, droppedLine);
  for (let n = 0; n < 640; n++) buffer.add("x".repeat(1_023) + "\n", info);
  const startedAt = performance.now();
  await buffer.flush(10_000);
  assert.equal(output.text.length, 640 * 1_024);
  assert.ok(performance.now() - startedAt > 350, "it took longer than a blocked output is waited for");
});

Deno.test("flush() gives up a blocked output long before its bound", async () => {
  const output = new Output();
  output.block();
  const buffer = new LogBuffer(output, droppedLine);
  buffer.add("line\n", info);
  const startedAt = performance.now();
  await buffer.flush(60_000);
  const took = performance.now() - startedAt;
  assert.ok(took >= 200 && took < 2_000, `${took}`);
  output.unblock();
  await buffer.flush(1_000);
});

Deno.test("LogBuffer loses nothing while the output is blocked for a moment", async () => {
  const output = new Output();
  output.block();
  const buffer = new LogBuffer(output, droppedLine);
  buffer.add("before\n", info);
  await later(50);
  for (let n = 0; n < 5; n++) buffer.add(`${n}\n`, info);
  await later(50);
  assert.equal(output.text, "");
  output.unblock();
  await buffer.flush(1_000);
  assert.equal(output.text, "before\n0\n1\n2\n3\n4\n");
});

Deno.test("LogBuffer drops info first while the output is blocked, then warnings, and reports how many", async () => {
  const output = new Output();
  output.block();
  const buffer = new LogBuffer(output, droppedLine);
  const line = (kind: string) => kind + "x".repeat(MEBIBYTE / 4 - 2) + "\n";
  for (let n = 0; n < 40; n++) buffer.add(line("i"), info);
  for (let n = 0; n < 40; n++) buffer.add(line("w"), warning);
  buffer.add("i\n", info);
  output.unblock();
  await buffer.flush(5_000);
  const lines = output.text.split("\n");
  const count = (kind: string) => lines.filter((text) => text.startsWith(kind)).length;
  assert.ok(output.text.length <= 8 * MEBIBYTE + 20);
  assert.deepEqual([count("i"), count("w")], [28, 4]);
  assert.deepEqual(lines.filter((text) => text.startsWith("dropped")), ["dropped 49"]);

  buffer.add("afterwards\n", info);
  await buffer.flush(1_000);
  assert.ok(output.text.endsWith("\nafterwards\n"));
});

Deno.test("LogBuffer is bounded in bytes, whatever the characters", async () => {
  const output = new Output();
  output.block();
  const buffer = new LogBuffer(output, droppedLine);
  for (let n = 0; n < 200; n++) buffer.add("☃".repeat(50_000) + "\n", warning);
  output.unblock();
  await buffer.flush(5_000);
  const bytes = new TextEncoder().encode(output.text).length;
  assert.ok(bytes > 7 * MEBIBYTE && bytes <= 8 * MEBIBYTE + 20, `${bytes}`);
});

Deno.test("LogBuffer counts the bytes of a write that is blocked", async () => {
  const output = new Output();
  output.block();
  const buffer = new LogBuffer(output, droppedLine);
  for (let round = 0; round < 3; round++) {
    for (let n = 0; n < 20; n++) buffer.add("x".repeat(MEBIBYTE / 2), warning);
    await later(30);
  }
  output.unblock();
  await buffer.flush(5_000);
  assert.equal(output.text.replace(/dropped \d+\n/g, "").length, 8 * MEBIBYTE);
  assert.ok(output.text.includes("dropped 44\n"));
});

Deno.test("LogBuffer survives an output whose reader has gone", async () => {
  let writes = 0;
  const broken: LogOutput = {
    write: () => {
      writes++;
      return Promise.reject(new Deno.errors.BrokenPipe());
    },
  };
  const buffer = new LogBuffer(broken, droppedLine);
  buffer.add("one\n", info);
  await buffer.flush(1_000);
  buffer.add("two\n", info);
  await buffer.flush(1_000);
  assert.equal(writes, 2);
});

Deno.test("LogBuffer writes lines whole and in their order, however many bytes the output accepts at once", async () => {
  const line = fc.string({ unit: "grapheme", maxLength: 20 }).map((text) => text.replaceAll("\n", "") + "\n");
  const move = fc.oneof(
    { weight: 6, arbitrary: line.map((text) => ({ kind: "add" as const, text })) },
    { weight: 1, arbitrary: fc.constantFrom("block", "unblock", "wait").map((kind) => ({ kind, text: "" })) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(move, { maxLength: 40 }), fc.integer({ min: 1, max: 30 }), async (moves, most) => {
      const output = new Output(most);
      const buffer = new LogBuffer(output, droppedLine);
      for (const { kind, text } of moves) {
        if (kind === "add") buffer.add(text, info);
        else if (kind === "block") output.block();
        else if (kind === "unblock") output.unblock();
        else await buffer.flush(0);
      }
      output.unblock();
      await buffer.flush(5_000);
      assert.equal(output.text, moves.map(({ text }) => text).join(""));
    }),
  );
});
