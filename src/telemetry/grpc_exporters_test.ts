/** When an export over gRPC is tried again. */
import assert from "node:assert/strict";
import { tryingAgain } from "./grpc_exporters.ts";

type Result = { code: number; error?: Error };

function exporterOf(results: Result[]) {
  let tries = 0;
  const exporter = tryingAgain<string[], { export(items: string[], done: (result: Result) => void): void }>({
    export: (_, done) => done(results[tries++]!),
  });
  const outcome = new Promise<Result>((resolve) => exporter.export(["item"], resolve));
  return { outcome, tries: () => tries };
}

const unavailable: Result = { code: 1, error: Object.assign(new Error("no connection"), { code: 14 }) };

Deno.test("tryingAgain() tries again when the collector can't be reached", async () => {
  const { outcome, tries } = exporterOf([unavailable, { code: 0 }]);
  assert.equal((await outcome).code, 0);
  assert.equal(tries(), 2);
});

Deno.test("tryingAgain() gives up after three tries, and at once on any other answer", async () => {
  const away = exporterOf([unavailable, unavailable, unavailable]);
  assert.equal(await away.outcome, unavailable);
  assert.equal(away.tries(), 3);
  const refused: Result = { code: 1, error: Object.assign(new Error("denied"), { code: 7 }) };
  const denied = exporterOf([refused]);
  assert.equal(await denied.outcome, refused);
  assert.equal(denied.tries(), 1);
});
