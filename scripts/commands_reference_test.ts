/** docs/commands.md contains the present help texts of the commands. */
import assert from "node:assert/strict";
import { COMMANDS_PAGE, commandsReference } from "./commands_reference.ts";

Deno.test("docs/commands.md is current", async () => {
  assert.equal(await Deno.readTextFile(COMMANDS_PAGE), await commandsReference());
});
