import assert from "node:assert/strict";
import { README, withTable } from "./configuration_table.ts";

Deno.test("README.md holds the configuration table as the variables are", () => {
  const readme = Deno.readTextFileSync(README);
  assert.equal(readme, withTable(readme));
});
