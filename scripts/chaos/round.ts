/**
 * One fault, or two at the same time → what it did, how long the service took to recover, and the judge's verdict on
 * everything that was sent since the last round.
 */
import type { Channel } from "./notification_model.ts";
import type { Chance } from "./chance.ts";
import type { EvidenceReader } from "./evidence.ts";
import type { Fault, Injection, Scene } from "./fault.ts";
import type { Profile } from "./fleet.ts";
import type { Breach } from "./facts.ts";
import { judge, judgeUnchanged } from "./judge.ts";
import { recovery, resumption, watermark } from "./recovery.ts";
import type { Round } from "./schedule.ts";
import { isUpTo } from "./sent_entry.ts";
import { RETENTION_SECONDS } from "./setting.ts";

/** A longer recovery is a breach. */
export const RECOVERY_SECONDS = 30;
/**
 * New intents are published again within this time after the return of a store that has lost data. With tiny batches it
 * takes longer, because the service first reads older entries again.
 */
const RESUMPTION_SECONDS = 5;
/** After a fault, at least this many new intents are sent and have to get their outcomes. */
const FRESH_INTENTS = 10;
/** After a failed recovery, the harness waits this much longer, so that the next round is not affected. */
const EXTRA_TIMEOUT_SECONDS = 60;

export interface RoundResult {
  /** How often each fault of the round was injected; 0 if it had no effect on the service. */
  readonly times: Readonly<Record<string, number>>;
  readonly intents: number;
  readonly breaches: readonly Breach[];
  readonly secondsToRecover: number;
  readonly notes: readonly string[];
}

export interface Harness {
  readonly scene: Omit<Scene, "chance" | "isAlone">;
  readonly reader: EvidenceReader;
}

/** The variables for the number of attempts of a route, and the service's defaults. */
const ATTEMPTS = {
  push: { variable: "NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS", byDefault: 3 },
  email: { variable: "NOTIFICATION_EMAIL_RETRY_MAX_ATTEMPTS", byDefault: 7 },
} as const;

/** Parts of the producer's rate. Tiny batches are slow, and their purpose is many batch boundaries, not throughput. */
const SHARES: Readonly<Record<Profile, number>> = { default: 1, tiny: 0.5 };

type RoundOptions = Harness & { readonly chance: Chance };

export async function playRound(round: Round, options: RoundOptions): Promise<RoundResult> {
  const { scene, chance } = options;
  const { fleet, mix } = scene;
  const { faults } = round;
  await prepare(round, options);
  const reported = new Map(fleet.outages);
  fleet.mayLogLosses = faults.some(({ loses }) => loses);
  fleet.mayFailToStart = faults.some(({ part }) => part === "redis" || part === "postgres");
  const begun = performance.now();
  const isAlone = faults.length === 1;
  const resumptions: Promise<number | undefined>[] = [];
  const injections = await Promise.all(
    faults.map(async (fault) => {
      const injection = await fault.inject({ ...scene, isAlone, chance: chance.fork(fault.name) });
      // The time starts when this store is back, even if the other fault continues.
      resumptions.push(resume(scene, injection));
      return injection;
    }),
  );
  const outSeconds = (performance.now() - begun) / 1000;
  const breaches = injections.flatMap(({ breaches = [] }) => breaches);
  const recovered = await recover(scene, breaches);
  const resumed = (await Promise.all(resumptions)).find((seconds) => seconds !== undefined);
  const resumptionNotes = resumed === undefined ? [] : [`new intents were published after ${resumed.toFixed(2)} s`];
  const hasResumptionLimit = isAlone && round.profile === "default";
  if (hasResumptionLimit && resumed !== undefined && resumed > RESUMPTION_SECONDS) {
    breaches.push({ kind: "wrong", text: resumptionNotes[0]! });
  }
  const maxSeconds = isAlone ? faults[0]!.recoversWithin?.(outSeconds) ?? RECOVERY_SECONDS : RECOVERY_SECONDS;
  if (recovered.seconds > maxSeconds && recovered.seconds <= RECOVERY_SECONDS) {
    const [took, limit] = [recovered.seconds, maxSeconds].map((seconds) => seconds.toFixed(1));
    breaches.push({ kind: "wrong", text: `recovery took ${took} s, but the back-off allows only ${limit} s` });
  }
  fleet.mayFailToStart = false;
  let { untilMs } = recovered;
  if (faults.some(({ env }) => env !== undefined)) {
    // Instances with these variables accept intents until they end, and these intents have to be judged by the same
    // settings.
    await fleet.shape(1, "default");
    ({ untilMs } = await recover(scene, breaches));
  }
  if (faults.some(({ finishedMayBeDeleted }) => finishedMayBeDeleted)) mix.reusesKeys = true;
  const judged = await judgeUpTo(untilMs, options, { faults, injections });
  // Only now, because the log line of a finished repair may come shortly after the repair is seen in PostgreSQL.
  fleet.mayLogLosses = false;
  return {
    times: Object.fromEntries(faults.map(({ name, outage }, at) => {
      const hadEffect = outage === undefined || fleet.outages.get(outage) !== reported.get(outage);
      return [name, hadEffect ? injections[at]!.times : 0];
    })),
    intents: judged.intents,
    breaches: [...breaches, ...judged.breaches, ...fleet.breaches.splice(0)],
    secondsToRecover: recovered.seconds,
    notes: [...injections.flatMap(({ note }) => note === undefined ? [] : [note]), ...resumptionNotes],
  };
}

/** Returns the seconds from the return of a store that has lost data until an intent sent since then is published. */
async function resume({ setting }: Harness["scene"], { returnedAtMs }: Injection): Promise<number | undefined> {
  if (returnedAtMs === undefined) return undefined;
  return await resumption(setting, returnedAtMs, RECOVERY_SECONDS) ?? Infinity;
}

async function prepare({ faults, instances, profile }: Round, { scene }: RoundOptions): Promise<void> {
  const { fleet, mix, setting, producer } = scene;
  producer.share = SHARES[profile];
  if (faults.some(({ finishedMayBeDeleted }) => finishedMayBeDeleted)) {
    // Once a record is deleted, its key makes a new intent, so the producer must not use keys again.
    mix.reusesKeys = false;
    await producer.allSentAgain();
    await recovery(setting, await watermark(setting), RECOVERY_SECONDS);
  }
  await fleet.shape(instances, profile, Object.assign({}, ...faults.map(({ env }) => env)));
}

/** Waits until new intents are sent again, and until these and all earlier ones have their outcomes. */
export async function recover(
  { setting, fleet, producer }: Harness["scene"],
  breaches: Breach[],
): Promise<{ untilMs: number; seconds: number }> {
  const begun = performance.now();
  const elapsed = () => (performance.now() - begun) / 1000;
  if (!await producer.sent(FRESH_INTENTS, RECOVERY_SECONDS)) {
    breaches.push({ kind: "lost", text: `Redis acknowledged too few intents within ${RECOVERY_SECONDS} s` });
  }
  const untilMs = await watermark(setting);
  const { left } = await recovery(setting, untilMs, RECOVERY_SECONDS - elapsed());
  if (left !== undefined) {
    breaches.push({ kind: "lost", text: `no recovery within ${RECOVERY_SECONDS} s: ${left}` });
    await recovery(setting, untilMs, EXTRA_TIMEOUT_SECONDS);
  }
  try {
    await fleet.allReady();
  } catch (error) {
    breaches.push({ kind: "wrong", text: `${error instanceof Error ? error.message : error}` });
  }
  const seconds = elapsed();
  if (seconds > RECOVERY_SECONDS && left === undefined) {
    breaches.push({ kind: "wrong", text: `recovery took ${seconds.toFixed(1)} s` });
  }
  return { untilMs, seconds };
}

/** Judges what was sent after the last call and up to `untilMs`. */
export async function judgeUpTo(
  untilMs: number,
  { scene, reader }: Harness,
  { faults, injections }: { faults: readonly Fault[]; injections: readonly Injection[] },
): Promise<{ intents: number; breaches: readonly Breach[] }> {
  const finishedMayBeDeleted = faults.some((fault) => fault.finishedMayBeDeleted);
  const changes = await judgeLastAgain(reader, finishedMayBeDeleted);
  const evidence = await reader.read(untilMs, {
    acknowledged: scene.producer.takeAcknowledged((entryId) => isUpTo(entryId, untilMs)),
    fieldsOf: (number) => scene.producer.fieldsOf(number),
    losses: injections.flatMap(({ losses = [] }) => losses),
    refusals: injections.flatMap(({ refusals = [] }) => refusals),
    attemptLimits: { push: attemptsOf("push", faults), email: attemptsOf("email", faults) },
    finishedMayBeDeleted,
  });
  const verdict = judge(evidence);
  reader.remember(verdict);
  scene.setting.users.requestedIds.length = 0; // the list would grow without limit
  return { intents: evidence.sent.length, breaches: [...changes, ...verdict.breaches] };
}

/** The default, and the values that the faults set. */
function attemptsOf(channel: Channel, faults: readonly Fault[]): number[] {
  const { variable, byDefault } = ATTEMPTS[channel];
  return [byDefault, ...faults.flatMap(({ env }) => env?.[variable] ?? []).map(Number)];
}

/**
 * Reads the rows of the entries that were judged last once more. They must not have changed, but retention may have
 * deleted them.
 */
export async function judgeLastAgain(reader: EvidenceReader, finishedMayBeDeleted: boolean): Promise<Breach[]> {
  const last = await reader.readLastAgain();
  const keptSinceMs = Date.now() - RETENTION_SECONDS * 1000;
  return last === undefined ? [] : judgeUnchanged(last, (entryMs) => finishedMayBeDeleted || entryMs <= keptSinceMs);
}
