// The key of the outbound push stream holds something else: the one fault that rightly uses up attempts. And two
// consumers at once, by deleting the lease that keeps them apart.

import type { Channel } from "../cast.ts";
import { again, type Fault, pause, type Scene } from "../fault.ts";
import type { Breach } from "../facts.ts";
import { STREAMS } from "../setting.ts";

const ASIDE = "chaos:aside";

export const STREAM_FAULTS: readonly Fault[] = [
  {
    name: "push-wrong-type",
    summary: "the push stream's key is of the wrong type: push climbs into dead letters, e-mail is untouched",
    part: "redis",
    isAlwaysAlone: true,
    async inject(scene) {
      const { setting, chance } = scene;
      const { redis } = setting;
      const fromMs = Date.now();
      const before = await deadLetters(scene);
      const breaches: Breach[] = [];
      await redis.multi().rename(STREAMS.push, ASIDE).set(STREAMS.push, "no stream").exec();
      await pause(chance.between(2, 3.5));
      // E-mail of a moment ago has long gone out; push has not.
      if (await liveSince(scene, "email", 1) > 0) {
        breaches.push({ kind: "wrong", text: "e-mail was held up with push" });
      }
      await redis.multi().del(STREAMS.push).rename(ASIDE, STREAMS.push).exec();
      const given = await deadLetters(scene) - before;
      if (given === 0) breaches.push({ kind: "wrong", text: "no push route became a dead letter" });
      return {
        ...{ times: 1, breaches, note: `${given} dead letters` },
        refusals: [{ channel: "push", fromMs, toMs: Date.now() + 1 }],
      };
    },
  },
  {
    name: "lease-deleted",
    summary: "the consumer's lease is deleted again and again: two consume at once",
    part: "redis",
    instances: [2, 4],
    async inject({ setting, chance }) {
      const times = await again(
        chance,
        { seconds: chance.between(2, 4), pauses: [0, 0.08] },
        () => setting.redis.del(`notification:consumer_lease:${STREAMS.intents}`),
      );
      return { times };
    },
  },
];

async function deadLetters({ setting }: Scene): Promise<number> {
  const [row] = await setting.query<{ number: number }>(
    "SELECT count(*)::int AS number FROM notification.dead_letters",
  );
  return row?.number ?? 0;
}

/** Live routes of the channel that are older than so many seconds. */
async function liveSince({ setting }: Scene, channel: Channel, seconds: number): Promise<number> {
  const [row] = await setting.query<{ number: number }>(
    `SELECT count(*)::int AS number FROM notification.routes
      WHERE next_attempt_at IS NOT NULL AND channel = $1 AND created_at < now() - $2 * interval '1 second'`,
    [channel, seconds],
  );
  return row?.number ?? 0;
}
