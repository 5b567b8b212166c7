/** Keys or commands are taken away from the Redis user while the service runs, and given back. */
import { ROUTE_LEASE_PATTERN } from "../../../src/redis/keys.ts";
import { type Fault, pause } from "../fault.ts";
import type { Channel } from "../cast.ts";
import { type Setting, STREAMS } from "../setting.ts";

interface Loss {
  readonly what: string;
  readonly rules: readonly string[];
  /** Channels whose routes rightly use up attempts: their own append was refused, and no other. */
  readonly refuses?: readonly Channel[];
}

/** The harness is the same user, and can do without these for a while. */
const LOSSES: readonly Loss[] = [
  { what: "XADD", rules: ["-xadd"], refuses: ["push", "email"] },
  { what: "SET, of which the script takes the entry back", rules: ["-set"] },
  { what: "GET", rules: ["-get"] },
  { what: "scripts", rules: ["-eval", "-evalsha"] },
  { what: "XREAD", rules: ["-xread"] },
  { what: "the leases", rules: ["resetkeys", ...keys(STREAMS.intents, STREAMS.push, STREAMS.email)] },
  { what: "the push stream", rules: ["resetkeys", ...keys(STREAMS.intents, STREAMS.email, ROUTE_LEASE_PATTERN)] },
  {
    what: "the place and the consumer's lease",
    rules: ["resetkeys", ...keys(...Object.values(STREAMS), ROUTE_LEASE_PATTERN)],
  },
];

export const ACCESS_FAULTS: readonly Fault[] = [
  {
    name: "redis-access",
    summary: "keys or commands are taken away from the Redis user, and given back",
    part: "redis",
    async inject({ setting, chance }) {
      const losses = chance.shuffled(LOSSES).slice(0, 2);
      const refusals: { channel: Channel; fromMs: number; toMs: number }[] = [];
      let times = 0;
      for (const { rules, refuses = [] } of losses) {
        const fromMs = Date.now();
        await setting.redis.call("ACL", "LOG", "RESET");
        await setting.redis.call("ACL", "SETUSER", "default", ...rules);
        await pause(chance.between(0.6, 1.2));
        await setting.redis.call("ACL", "SETUSER", "default", "allkeys", "+@all");
        if (await isDenied(setting)) times++;
        await pause(chance.between(0, 0.3));
        for (const channel of refuses) refusals.push({ channel, fromMs, toMs: Date.now() });
      }
      return { times, refusals, note: losses.map(({ what }) => what).join(", then ") };
    },
  },
];

/** Whether Redis has refused a command of a client other than the producer, which adds to the intent stream. */
async function isDenied({ redis }: Setting): Promise<boolean> {
  const entries = await redis.call("ACL", "LOG") as unknown[][];
  return entries.some((entry) => {
    const of = (name: string) => String(entry[entry.indexOf(name) + 1]);
    return of("context") !== "toplevel" || of("object") !== "xadd";
  });
}

function keys(...patterns: readonly string[]): string[] {
  return patterns.map((pattern) => `~${pattern}`);
}
