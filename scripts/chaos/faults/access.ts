/** The Redis user loses the permission for some keys or commands while the service runs, and gets it back. */
import { ROUTE_LEASE_PATTERN } from "../../../src/redis/keys.ts";
import { type Fault, pause } from "../fault.ts";
import type { Channel } from "../notification_model.ts";
import { type Setting, STREAMS } from "../setting.ts";

interface Loss {
  readonly what: string;
  readonly rules: readonly string[];
  /** Channels whose routes are right to use up attempts, because exactly their own append was refused. */
  readonly refuses?: readonly Channel[];
}

/** The harness uses the same Redis user, but does not need these permissions all the time. */
const LOSSES: readonly Loss[] = [
  { what: "XADD", rules: ["-xadd"], refuses: ["push", "email"] },
  { what: "SET, so that the script deletes the entry again", rules: ["-set"] },
  { what: "GET", rules: ["-get"] },
  { what: "scripts", rules: ["-eval", "-evalsha"] },
  { what: "XREAD", rules: ["-xread"] },
  { what: "the leases", rules: ["resetkeys", ...keys(STREAMS.intents, STREAMS.push, STREAMS.email)] },
  { what: "the push stream", rules: ["resetkeys", ...keys(STREAMS.intents, STREAMS.email, ROUTE_LEASE_PATTERN)] },
  {
    what: "the offset and the consumer's lease",
    rules: ["resetkeys", ...keys(...Object.values(STREAMS), ROUTE_LEASE_PATTERN)],
  },
];

export const ACCESS_FAULTS: readonly Fault[] = [
  {
    name: "redis-access",
    summary: "the Redis user loses the permission for keys or commands, and gets it back",
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

/** Whether Redis has refused a command of another client than the producer, which only appends to the intent stream. */
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
