/** Each outage has to be reported once at its beginning and once at its end. */
import assert from "node:assert/strict";
import { ReportedOutages } from "./reported_outages.ts";

const OUT = line({ message: "dependency is unavailable", dependency: "redis", reason: "gone" });
const BACK = line({ message: "dependency is available again", dependency: "redis", outage_ms: 70 });

Deno.test("ReportedOutages takes an outage and its end, again and again, each dependency for itself", () => {
  const heard: string[] = [];
  const reported = new ReportedOutages((dependency) => heard.push(dependency));
  const other = OUT.replace("redis", "postgres");
  for (const text of [OUT, other, line({ message: "accepted" }), BACK, OUT]) {
    assert.equal(reported.hear(text), undefined);
  }
  assert.deepEqual(heard, ["redis", "postgres", "redis"]);
});

Deno.test("ReportedOutages finds an outage that is logged twice, and an end without a beginning or a duration", () => {
  const reported = new ReportedOutages(() => {});
  assert.match(reported.hear(BACK)!, /which was not out/);
  reported.hear(OUT);
  assert.match(reported.hear(OUT)!, /logged twice that redis/);
  assert.match(reported.hear(line({ message: "dependency is available again", dependency: "redis" }))!, /undefined ms/);
});

function line(fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(fields);
}
