/** The results replace exactly the text between the markers of docs/benchmarks.md. */
import assert from "node:assert/strict";
import { withResults } from "./outputs.ts";

const BEGIN = "<!-- results: made by deno task bench --docs -->";

Deno.test("withResults() replaces only the text between the markers", () => {
  const page = `# A\n\n${BEGIN}\nold\n<!-- /results -->\n\nend\n`;
  assert.equal(withResults(page, "new"), `# A\n\n${BEGIN}\nnew\n<!-- /results -->\n\nend\n`);
});

Deno.test("withResults() throws if the page has no markers", () => {
  for (
    const page of ["", BEGIN, "<!-- /results -->", `<!-- /results -->${BEGIN}`, `${BEGIN}${BEGIN}<!-- /results -->`]
  ) {
    assert.throws(() => withResults(page, "new"), /markers/);
  }
});
