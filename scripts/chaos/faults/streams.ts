/**
 * A stream's key holds something else: where it is the outbound push stream's, the one fault that rightly uses up
 * attempts. And two consumers at once, by deleting the lease that keeps them apart.
 */
import { eventually } from "../../../tests/support/wait.ts";
import { consumerLeaseKey } from "../../../src/redis/keys.ts";
import type { Channel } from "../cast.ts";
import { again, type Fault, pause, type Scene } from "../fault.ts";
import type { Breach } from "../facts.ts";
import { STREAMS } from "../setting.ts";
import { putAside, putBack } from "../stream_aside.ts";

export const STREAM_FAULTS: readonly Fault[] = [
  {
    name: "push-wrong-type",
    summary: "the push stream's key is of the wrong type: push climbs into dead letters, e-mail is untouched",
    part: "redis",
    async inject(scene) {
      const { setting, chance, isAlone } = scene;
      const fromMs = Date.now();
      const breaches: Breach[] = [];
      await putAside(setting, STREAMS.push);
      await pause(chance.between(2, 3.5));
      // E-mail of a moment ago has long gone out; push has not.
      const isHeldUp = isAlone && !await eventually(async () => await liveSince(scene, "email", 1) === 0, {
        timeoutMs: 2000,
      }).catch(() => false);
      if (isHeldUp) breaches.push({ kind: "wrong", text: "e-mail was held up with push" });
      await putBack(setting, STREAMS.push);
      const given = await deadLettersSince(scene, fromMs);
      return {
        ...{ times: given > 0 ? 1 : 0, breaches, note: `${given} dead letters` },
        refusals: [{ channel: "push", fromMs, toMs: Date.now() + 1 }],
      };
    },
  },
  {
    name: "intents-wrong-type",
    summary: "the intent stream's key is of the wrong type: intake waits, publishing goes on",
    part: "redis",
    outage: "intent_stream",
    async inject({ setting, chance }) {
      await putAside(setting, STREAMS.intents);
      await pause(chance.between(0.8, 2));
      await putBack(setting, STREAMS.intents);
      return { times: 1 };
    },
  },
  {
    name: "lease-deleted",
    summary: "the consumer's lease is deleted again and again: two consume at once",
    part: "redis",
    instances: [2, 4],
    async inject({ setting, chance }) {
      let times = 0;
      await again(chance, { seconds: chance.between(2, 4), pauses: [0, 0.08] }, async () => {
        times += await setting.redis.del(consumerLeaseKey(STREAMS.intents));
      });
      return { times };
    },
  },
];

async function deadLettersSince({ setting }: Scene, ms: number): Promise<number> {
  const [row] = await setting.query<{ number: number }>(
    `SELECT count(*)::int AS number FROM notification.dead_letters
      WHERE created_at >= to_timestamp($1::float8 / 1000)`,
    [ms],
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
