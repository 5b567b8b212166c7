/** What is out is told once, and its end once. */
import assert from "node:assert/strict";
import { ToldOutages } from "./told_outages.ts";

const OUT = line({ message: "dependency is unavailable", dependency: "redis", reason: "gone" });
const BACK = line({ message: "dependency is available again", dependency: "redis", outage_ms: 70 });

Deno.test("ToldOutages takes an outage and its end, again and again, each dependency for itself", () => {
  const heard: string[] = [];
  const told = new ToldOutages((dependency) => heard.push(dependency));
  const other = OUT.replace("redis", "postgres");
  for (const text of [OUT, other, line({ message: "accepted" }), BACK, OUT]) assert.equal(told.hear(text), undefined);
  assert.deepEqual(heard, ["redis", "postgres", "redis"]);
});

Deno.test("ToldOutages finds an outage that is logged twice, and an end without a beginning or a duration", () => {
  const told = new ToldOutages(() => {});
  assert.match(told.hear(BACK)!, /which was not out/);
  told.hear(OUT);
  assert.match(told.hear(OUT)!, /logged twice that redis/);
  assert.match(told.hear(line({ message: "dependency is available again", dependency: "redis" }))!, /undefined ms/);
});

function line(fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(fields);
}
