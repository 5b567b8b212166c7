/** Each outage has to be reported once at its beginning and once at its end. */
import assert from "node:assert/strict";
import { ReportedOutages } from "./reported_outages.ts";

const UNAVAILABLE = line({ message: "dependency is unavailable", dependency: "redis", reason: "gone" });
const AVAILABLE = line({ message: "dependency is available again", dependency: "redis", outage_ms: 70 });

Deno.test("ReportedOutages accepts repeated outages of each dependency, if each has a beginning and an end", () => {
  const outages: string[] = [];
  const reported = new ReportedOutages((dependency) => outages.push(dependency));
  const other = UNAVAILABLE.replace("redis", "postgres");
  for (const text of [UNAVAILABLE, other, line({ message: "accepted" }), AVAILABLE, UNAVAILABLE]) {
    assert.equal(reported.check(text), undefined);
  }
  assert.deepEqual(outages, ["redis", "postgres", "redis"]);
});

Deno.test("ReportedOutages finds a repeated beginning, and an end without a beginning or a duration", () => {
  const reported = new ReportedOutages(() => {});
  assert.match(reported.check(AVAILABLE)!, /which was not unavailable/);
  reported.check(UNAVAILABLE);
  assert.match(reported.check(UNAVAILABLE)!, /logged twice that redis/);
  assert.match(
    reported.check(line({ message: "dependency is available again", dependency: "redis" }))!,
    /undefined ms/,
  );
});

function line(fields: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(fields);
}
