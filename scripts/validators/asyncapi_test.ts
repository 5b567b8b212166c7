/** docs/asyncapi.yaml is valid for AsyncAPI's parser, and describes the three streams and every type of intent. */
import assert from "node:assert/strict";
import { Parser } from "@asyncapi/parser";

const DOCS = new URL("../../docs/", import.meta.url);

Deno.test("AsyncAPI's parser finds nothing wrong", async () => {
  const { document, diagnostics } = await new Parser().parse(Deno.readTextFileSync(new URL("asyncapi.yaml", DOCS)));
  const found = diagnostics.filter(({ severity }) => severity <= 1).map(({ message, path }) => `${path}: ${message}`);
  assert.deepEqual(found, []);
  assert.deepEqual(document?.channels().all().map((channel) => channel.address()), [
    "notification:intents",
    "gateway:client-events",
    "mail:delivery_commands",
  ]);
  const types = [...Deno.readDirSync(new URL("schemas/", DOCS))].filter(({ name }) => name.startsWith("intent."));
  assert.equal(document?.channels().get("intents")?.messages().all().length, types.length);
});
