/** The schedule depends only on the seed, omits no fault, and pairs only faults whose effects can be distinguished. */
import assert from "node:assert/strict";
import { Chance } from "./chance.ts";
import { FAULTS, MIXED } from "./faults.ts";
import { withinBackoff } from "./faults/user_service.ts";
import { parseOptions } from "./options.ts";
import { fits, type Round, schedule, type ScheduleOptions } from "./schedule.ts";

const ALL: ScheduleOptions = { faults: FAULTS, partners: FAULTS.filter(({ isAlwaysAlone }) => !isAlwaysAlone) };

Deno.test("schedule() gives the same rounds for the same seed, and others for another", () => {
  const names = (seed: string) => take(ALL, seed, 60).map(describe);
  assert.deepEqual(names("7"), names("7"));
  assert.notDeepEqual(names("7"), names("8"));
});

Deno.test("schedule() gives every fault its turn before any has another", () => {
  const seen = new Map<string, number>();
  for (const { faults } of take({ ...ALL, partners: [] }, "7", 3 * FAULTS.length)) {
    for (const { name } of faults) seen.set(name, (seen.get(name) ?? 0) + 1);
  }
  assert.deepEqual([...new Set(seen.values())], [3]);
  assert.equal(seen.size, FAULTS.length);
});

Deno.test("schedule() ends, if asked to, when every fault has had its turn", () => {
  const seen = take({ ...ALL, once: true }, "7", 1000).flatMap(({ faults }) => faults.map(({ name }) => name));
  assert.equal(new Set(seen).size, FAULTS.length);
  assert.ok(seen.length < FAULTS.length + 5, "few have a second turn, as the partner of another fault");
});

Deno.test("schedule() pairs what fits, and never what has to be alone", () => {
  const pairs = take(ALL, "7", 400).filter(({ faults }) => faults.length === 2);
  assert.ok(pairs.length > 60);
  for (const { faults: [one, other] } of pairs) {
    assert.ok(one !== undefined && other !== undefined && fits(one, other));
    assert.ok(!one.isAlwaysAlone && !other.isAlwaysAlone);
    assert.ok(!one.loses || !other.loses, "two stores that lose something could lose the same");
  }
});

Deno.test("schedule() gives each fault as many instances as it needs", () => {
  for (const round of take(ALL, "7", 400)) {
    for (const { instances: [least, most] = [1, 2], profile } of round.faults) {
      assert.ok(round.instances >= least && round.instances <= most, describe(round));
      assert.ok(profile === undefined || profile === round.profile, describe(round));
    }
  }
});

Deno.test("a half-open connection has no second instance to stand in for a loop that hangs", () => {
  for (const { name, instances } of FAULTS) if (name.endsWith("half-open")) assert.deepEqual(instances, [1, 1], name);
});

Deno.test("withinBackoff() allows twice the outage and no more than the longest pause, with time-out and margin", () => {
  assert.equal(withinBackoff()(1.5), 3 + 1 + 3);
  assert.equal(withinBackoff({ retryAfterSeconds: 1 })(12), 10 + 1 + 1 + 3);
});

Deno.test("parseOptions() takes what deno task chaos is given, and says what is wrong", () => {
  assert.deepEqual(parseOptions(["--seed", "7", "--seconds=30", "--only", `kill,${MIXED}`, "--rate", "10"]), {
    ...{ seed: "7", seconds: 30, only: ["kill", MIXED], rate: 10, once: false, list: false, failFast: false },
  });
  const problemOf = (...args: string[]) => {
    const options = parseOptions(args);
    return "problem" in options ? options.problem : "none";
  };
  assert.match(problemOf("--only", "killl"), /no fault "killl"/);
  assert.match(problemOf("--seconds", "soon"), /--seconds needs a number above 0, not "soon"/);
  assert.match(problemOf("--seed"), /--seed needs a value/);
  assert.match(problemOf("--what", "x"), /Unknown argument --what/);
  assert.equal(problemOf("--list"), "none");
});

function take(options: ScheduleOptions, seed: string, count: number): Round[] {
  const rounds: Round[] = [];
  for (const round of schedule(options, new Chance(seed))) {
    rounds.push(round);
    if (rounds.length === count) break;
  }
  return rounds;
}

function describe({ faults, instances, profile }: Round): string {
  return `${faults.map(({ name }) => name).join(" and ")} on ${instances} ${profile}`;
}
