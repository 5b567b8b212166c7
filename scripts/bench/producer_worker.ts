/**
 * A worker: the address of Redis, a rate and a number of intents → these intents, sent evenly at this rate; then a
 * message with the duration in seconds.
 *
 * The request id of an intent begins with the time immediately before its XADD, in microseconds of the clock that all
 * threads of a process share (`send_and_watch.ts` subtracts it).
 */
import { closeRedis, openRedis, type RedisAddress } from "../../tests/support/redis_client.ts";
import { INTENTS, USERS } from "./fill.ts";
import { setTimeout as sleep } from "node:timers/promises";

export interface Assignment {
  readonly address: RedisAddress;
  /** Intents per second. */
  readonly rate: number;
  readonly count: number;
  readonly prefix: string;
}

const scope = self as unknown as {
  onmessage: (event: MessageEvent<Assignment>) => void;
  postMessage(seconds: number): void;
};

scope.onmessage = async ({ data }) => scope.postMessage(await produce(data));

async function produce({ address, rate, count, prefix }: Assignment): Promise<number> {
  const redis = await openRedis(address);
  const begun = performance.now();
  const answers: Promise<unknown>[] = [];
  for (let sent = 0; sent < count;) {
    const due = Math.min(count, Math.floor((performance.now() - begun) * rate / 1000) + 1);
    for (; sent < due; sent++) answers.push(redis.xadd(INTENTS, "*", ...intent(prefix, sent)));
    await sleep(Math.max(0, begun + sent * 1000 / rate - performance.now()));
  }
  await Promise.all(answers);
  const seconds = (performance.now() - begun) / 1000;
  await closeRedis(redis);
  return seconds;
}

/** The same fields as in `fill.ts`. */
function intent(prefix: string, n: number): string[] {
  const game = `${prefix}-${n % 10_000}`;
  const turn = Math.floor(n / 10_000) + 1;
  const sentAt = Math.round((performance.timeOrigin + performance.now()) * 1000);
  return [
    ...["notification_type", "game.turn.ready", "producer", "game-master", "audience_kind", "user"],
    ...["recipient_user_ids_json", `["user-${n % USERS}"]`, "idempotency_key", `game-${game}-turn-${turn}`],
    ...["occurred_at_ms", "1767225600000"],
    ...["payload_json", `{"game_id":"${game}","game_name":"A nice game","turn_number":${turn}}`],
    ...["request_id", `${sentAt}-${prefix}-${n}`],
  ];
}
