/** The present files of docs/observability pass promtool and have no broken reference. */
import assert from "node:assert/strict";
import { checkObservability } from "./check_observability.ts";

Deno.test("alert rules, their tests, dashboard and collector configuration are valid", async () => {
  assert.deepEqual(await checkObservability(), []);
});
