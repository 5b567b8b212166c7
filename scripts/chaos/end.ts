/**
 * The end of a run: the producer stops, all remaining entries get their outcomes, and the instances stop in order. Then
 * the checks follow that need a system at rest: the consumer's offset, and whether each outbound entry was judged.
 */
import { eventually } from "../../tests/support/wait.ts";
import type { Breach, RefusalWindow } from "./facts.ts";
import { pause } from "./fault.ts";
import { judgeOffset } from "./judge.ts";
import { type Harness, judgeLastAgain, judgeUpTo, recover, type RoundResult } from "./round.ts";

export const END = "at the end";

/** The copy of the offset in Redis is written after the commit. */
const COPY_LIMIT_MS = 5000;

/** @param refusals periods in which an outbound stream refused entries that have not been judged yet */
export async function playEnd(harness: Harness, refusals: readonly RefusalWindow[] = []): Promise<RoundResult> {
  const { scene: { fleet, producer }, reader, scene } = harness;
  await producer.stop();
  // Entries are judged up to the millisecond before now, so the millisecond of the last entries has to be over.
  await pause(0.01);
  const breaches: Breach[] = [];
  const { untilMs, seconds } = await recover(scene, breaches);
  await eventually(async () => judgeOffset(await reader.offset()).length === 0, { timeoutMs: COPY_LIMIT_MS })
    .catch(() => {}); // judgeOffset() is called again below and reports the details
  const stopped = fleet.instances.length;
  await Promise.all(fleet.instances.map((instance) => fleet.leave(instance)));
  const judged = await judgeUpTo(untilMs, harness, { faults: [], injections: [{ times: 0, refusals }] });
  breaches.push(...judged.breaches, ...judgeOffset(await reader.offset()));
  breaches.push(...await judgeLastAgain(reader, false));
  const orphans = await reader.orphans();
  if (orphans > 0) breaches.push({ kind: "wrong", text: `${orphans} routes and dead letters without a record` });
  const { all, judged: judgedOutbound, returned, unjudged } = await reader.outboundEntries();
  if (all !== judgedOutbound + returned) {
    breaches.push({
      kind: "wrong",
      text: `${all} outbound entries, of which ${judgedOutbound} belong to what was sent; not judged: ${
        unjudged.join("; ") || "none"
      }`,
    });
  }
  breaches.push(...fleet.breaches.splice(0));
  return {
    times: {},
    intents: judged.intents,
    breaches,
    secondsToRecover: seconds,
    notes: [
      `${all} outbound entries`,
      ...(returned === 0 ? [] : [`${returned} of them lost before and back since a later start of Redis`]),
      `${stopped} instances stopped`,
    ],
  };
}
