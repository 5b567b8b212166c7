/**
 * The key of a stream holds another type. For the outbound push stream, this is a fault in which routes are right to
 * use up attempts. Also two consumers at the same time, after the consumer lease was deleted.
 */
import { eventually } from "../../../tests/support/wait.ts";
import { consumerLeaseKey } from "../../../src/redis/keys.ts";
import type { Channel } from "../notification_model.ts";
import { type Fault, pause, repeatFor, type Scene } from "../fault.ts";
import type { Breach } from "../facts.ts";
import { STREAMS } from "../setting.ts";
import { putAside, putBack } from "../stream_aside.ts";

export const STREAM_FAULTS: readonly Fault[] = [
  {
    name: "push-wrong-type",
    summary: "the push stream's key is of the wrong type: push routes become dead letters, e-mail is not affected",
    part: "redis",
    async inject(scene) {
      const { setting, chance, isAlone } = scene;
      const fromMs = Date.now();
      const breaches: Breach[] = [];
      await putAside(setting, STREAMS.push);
      try {
        await pause(chance.between(2, 3.5));
        // E-mail that was accepted a second ago must be published by now, though push cannot be.
        const isDelayed = isAlone && !await eventually(async () => await liveSince(scene, "email", 1) === 0, {
          timeoutMs: 2000,
        }).catch(() => false);
        if (isDelayed) breaches.push({ kind: "wrong", text: "e-mail was delayed together with push" });
      } finally {
        await putBack(setting, STREAMS.push);
      }
      const deadLetters = await deadLettersSince(scene, fromMs);
      return {
        ...{ times: deadLetters > 0 ? 1 : 0, breaches, note: `${deadLetters} dead letters` },
        refusals: [{ channel: "push", fromMs, toMs: Date.now() + 1 }],
      };
    },
  },
  {
    name: "intents-wrong-type",
    summary: "the intent stream's key is of the wrong type: intake waits, publishing continues",
    part: "redis",
    outage: "intent_stream",
    async inject({ setting, chance }) {
      await putAside(setting, STREAMS.intents);
      try {
        await pause(chance.between(0.8, 2));
      } finally {
        await putBack(setting, STREAMS.intents);
      }
      return { times: 1 };
    },
  },
  {
    name: "lease-deleted",
    summary: "the consumer's lease is deleted repeatedly: two instances consume at the same time",
    part: "redis",
    instances: [2, 4],
    async inject({ setting, chance }) {
      let times = 0;
      await repeatFor(chance, { seconds: chance.between(2, 4), pauses: [0, 0.08] }, async () => {
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

/** Counts the live routes of the channel that are older than `seconds`. */
async function liveSince({ setting }: Scene, channel: Channel, seconds: number): Promise<number> {
  const [row] = await setting.query<{ number: number }>(
    `SELECT count(*)::int AS number FROM notification.routes
      WHERE next_attempt_at IS NOT NULL AND channel = $1 AND created_at < now() - $2 * interval '1 second'`,
    [channel, seconds],
  );
  return row?.number ?? 0;
}
