/** The files of docs/observability as they are, by promtool and for what leads nowhere. */
import assert from "node:assert/strict";
import { checkObservability } from "./check_observability.ts";

Deno.test("alert rules, their tests, dashboard and collector configuration are sound", async () => {
  assert.deepEqual(await checkObservability(), []);
});
