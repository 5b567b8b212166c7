/**
 * A seed and a number of seconds (or each fault once), perhaps names of faults → the Notification Service runs under
 * faults drawn from the seed, while a producer sends intents without a pause; then a table of what each fault did.
 *
 * Exit code 0 only if no entry and no route was lost, none was published twice, no route was given up wrongly, and the
 * service recovered from every fault within 30 s; 1 if not, with a list of what was wrong; 64 for invalid arguments; 69
 * if the servers are not installed.
 */
import { paint } from "./demo/table.ts";
import { Chance } from "./chaos/chance.ts";
import type { Breach } from "./chaos/facts.ts";
import { EvidenceReader } from "./chaos/evidence.ts";
import { FAULTS, PAIR_NAME } from "./chaos/faults.ts";
import { Fleet } from "./chaos/fleet.ts";
import { IntentMix } from "./chaos/intent_mix.ts";
import { type Options, parseOptions, USAGE } from "./chaos/options.ts";
import { Producer } from "./chaos/producer.ts";
import { breachLines, describe, lastLogLines, progressLine, roundLines, Tally } from "./chaos/report.ts";
import { END, playEnd } from "./chaos/end.ts";
import { type Harness, playRound } from "./chaos/round.ts";
import { type Round, schedule, type ScheduleOptions } from "./chaos/schedule.ts";
import { Setting } from "./chaos/setting.ts";
import { ServersMissing } from "./servers/install.ts";

const PROGRESS_MS = 5000;
/** A fault that had no effect on the service is tried again, at most this many times in all. */
const MAX_TRIES = 3;

if (import.meta.main) {
  const options = parseOptions(Deno.args);
  if ("problem" in options) {
    console.error(`${options.problem}\n${USAGE}`);
    Deno.exit(64);
  }
  if (options.list) {
    for (const { name, summary } of FAULTS) console.log(`${name.padEnd(22)} ${summary}`);
    console.log(`${PAIR_NAME.padEnd(22)} two of these faults at the same time`);
    Deno.exit(0);
  }
  try {
    Deno.exit(await chaos(options));
  } catch (error) {
    console.error(error instanceof ServersMissing ? error.message : error);
    Deno.exit(error instanceof ServersMissing ? error.exitCode : 1);
  }
}

async function chaos(options: Options): Promise<number> {
  const { seed, seconds, rate, once } = options;
  const chance = new Chance(seed);
  console.log(
    paint("bold", `Chaos: seed ${seed}, ${once ? "every fault once" : `${seconds} s`}, ${rate} intents a second`),
  );
  await using setting = await Setting.open();
  const logFolder = await Deno.makeTempDir({ prefix: "notification-chaos-" });
  await using fleet = new Fleet(setting, { logFolder });
  const mix = new IntentMix(chance.fork("mix"), crypto.randomUUID().slice(0, 8));
  const producer = new Producer(setting.redis, { mix, rate });
  const harness: Harness = { scene: { setting, fleet, producer, mix }, reader: new EvidenceReader(setting) };
  const tally = new Tally();

  await fleet.shape(1, "default");
  producer.start();
  const begun = performance.now();
  const elapsed = () => (performance.now() - begun) / 1000;
  let playing = "";
  const progress = setInterval(() => print(progressLine(elapsed(), playing, { producer, tally })), PROGRESS_MS);
  let rounds = 0;
  // Whether a fault has an effect depends on the moment, so a fault without one is tried again.
  const playUntilEffective = async (round: Round) => {
    for (let tries = MAX_TRIES, { faults } = round; faults.length > 0 && tries > 0; tries--) {
      playing = describe({ ...round, faults });
      const hadNoBreach = tally.breaches.length === 0;
      const result = await playRound({ ...round, faults }, { ...harness, chance: chance.fork(`round ${++rounds}`) });
      tally.add(faults.length > 1 ? PAIR_NAME : faults[0]!.name, result);
      print(...roundLines(elapsed(), playing, result));
      if (hadNoBreach && result.breaches.length > 0) print(...lastLogLines(await fleet.lastLines()));
      faults = result.breaches.length > 0 ? [] : faults.filter(({ name }) => result.times[name] === 0);
    }
  };
  for (const next of schedule(scheduleOptions(options), chance.fork("schedule"))) {
    if ((!once && elapsed() > seconds) || (options.failFast && tally.breaches.length > 0)) break;
    await playUntilEffective(next);
  }
  clearInterval(progress);
  const end = await playEnd(harness);
  const result = { ...end, breaches: [...end.breaches, ...tally.withoutEffect.map(noEffectBreach)] };
  tally.add(END, result);
  print(...roundLines(elapsed(), END, result), "");
  print(...tally.lines([...FAULTS.map(({ name }) => name), PAIR_NAME, END]), "", ...tally.countLines(), "");
  if (tally.breaches.length === 0) {
    await Deno.remove(logFolder, { recursive: true });
    print(`${paint("green", "✓")} Nothing was lost, published twice, or given up wrongly.`);
    return 0;
  }
  print(...breachLines(tally.breaches), "");
  print(`${paint("red", "✗")} ${tally.breaches.length} breaches. To repeat: deno task chaos --seed ${seed} …`);
  print(`  Logs of all instances: ${logFolder}`);
  return 1;
}

function noEffectBreach(name: string): Breach {
  return { kind: "wrong", text: `${name} never had an effect on the service, so it proves nothing` };
}

/** Which faults are played, and whether some of them are played in pairs. */
function scheduleOptions({ only, once }: Options): ScheduleOptions {
  const named = FAULTS.filter(({ name }) => only.includes(name));
  const mixable = FAULTS.filter(({ isAlwaysAlone }) => !isAlwaysAlone);
  if (only.length === 0) return { faults: FAULTS, partners: mixable, once };
  if (!only.includes(PAIR_NAME)) return { faults: named, partners: [], once };
  const faults = named.length === 0 ? mixable : named;
  return { faults, partners: mixable, onlyPairs: true, once };
}

function print(...lines: readonly string[]): void {
  for (const line of lines) console.log(line);
}
