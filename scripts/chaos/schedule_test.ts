/** The schedule depends only on the seed, omits no fault, and pairs only faults whose effects can be distinguished. */
import assert from "node:assert/strict";
import { Chance } from "./chance.ts";
import { FAULTS, PAIR_NAME } from "./faults.ts";
import { withinBackoff } from "./faults/user_service.ts";
import { parseOptions } from "./options.ts";
import { fits, type Round, schedule, type ScheduleOptions } from "./schedule.ts";

const ALL: ScheduleOptions = { faults: FAULTS, partners: FAULTS.filter(({ isAlwaysAlone }) => !isAlwaysAlone) };

Deno.test("schedule() returns the same rounds for the same seed, and other rounds for another seed", () => {
  const names = (seed: string) => take(ALL, seed, 60).map(describe);
  assert.deepEqual(names("7"), names("7"));
  assert.notDeepEqual(names("7"), names("8"));
});

Deno.test("schedule() plays every fault once before it repeats one", () => {
  const seen = new Map<string, number>();
  for (const { faults } of take({ ...ALL, partners: [] }, "7", 3 * FAULTS.length)) {
    for (const { name } of faults) seen.set(name, (seen.get(name) ?? 0) + 1);
  }
  assert.deepEqual([...new Set(seen.values())], [3]);
  assert.equal(seen.size, FAULTS.length);
});

Deno.test("schedule() with once ends when every fault was played", () => {
  const seen = take({ ...ALL, once: true }, "7", 1000).flatMap(({ faults }) => faults.map(({ name }) => name));
  assert.equal(new Set(seen).size, FAULTS.length);
  assert.ok(seen.length < FAULTS.length + 5, "few faults are played twice, as the partner of another fault");
});

Deno.test("schedule() pairs only faults that fit, and none that is always alone", () => {
  const pairs = take(ALL, "7", 400).filter(({ faults }) => faults.length === 2);
  assert.ok(pairs.length > 60);
  for (const { faults: [one, other] } of pairs) {
    assert.ok(one !== undefined && other !== undefined && fits(one, other));
    assert.ok(!one.isAlwaysAlone && !other.isAlwaysAlone);
    assert.ok(!one.loses || !other.loses, "two stores that lose data could lose the same data");
  }
});

Deno.test("schedule() chooses instances and batch sizes that each fault allows", () => {
  for (const round of take(ALL, "7", 400)) {
    for (const { instances: [min, max] = [1, 2], profile } of round.faults) {
      assert.ok(round.instances >= min && round.instances <= max, describe(round));
      assert.ok(profile === undefined || profile === round.profile, describe(round));
    }
  }
});

Deno.test("faults with half-open connections run on one instance only", () => {
  for (const { name, instances } of FAULTS) if (name.endsWith("half-open")) assert.deepEqual(instances, [1, 1], name);
});

Deno.test("withinBackoff() adds the time-out and a margin to twice the outage, at most to the longest pause", () => {
  assert.equal(withinBackoff()(1.5), 3 + 1 + 3);
  assert.equal(withinBackoff({ retryAfterSeconds: 1 })(12), 10 + 1 + 1 + 3);
});

Deno.test("parseOptions() reads the arguments of deno task chaos and describes an invalid one", () => {
  assert.deepEqual(parseOptions(["--seed", "7", "--seconds=30", "--only", `kill,${PAIR_NAME}`, "--rate", "10"]), {
    ...{ seed: "7", seconds: 30, only: ["kill", PAIR_NAME], rate: 10, once: false, list: false, failFast: false },
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
