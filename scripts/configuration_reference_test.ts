/** The generated texts about the variables are up to date. */
import assert from "node:assert/strict";
import { configurationReference, ENVIRONMENT_FILE, environmentFile, REFERENCE } from "./configuration_reference.ts";

Deno.test("docs/configuration.md is current", () => {
  assert.equal(Deno.readTextFileSync(REFERENCE), configurationReference());
});

Deno.test("the environment file is current, and all its variables are commented out", () => {
  const text = Deno.readTextFileSync(ENVIRONMENT_FILE);
  assert.equal(text, environmentFile());
  for (const line of text.split("\n")) assert.match(line, /^(#|$)/);
  // Every line with a variable is read as soon as it is uncommented and has a value.
  assert.match(text, /^#NOTIFICATION_ADMIN_EMAILS_GAME_GENERATION_FAILED=$/m);
  assert.match(text, /^#OTEL_EXPORTER_OTLP_ENDPOINT=/m);
  for (const line of text.split("\n")) assert.match(line, /^#?$|^# |^#[A-Z_]+=/);
});
