/**
 * Redis and its streams → the findings of `run` at its start, and problems that it would meet later. Writes nothing,
 * also where it tests the right to write.
 */
import type { Config } from "../config/config.ts";
import { routeLeaseKey } from "../redis/keys.ts";
import { checkRedis, PASSWORD_NOT_ASKED, REPLICATION_ID_IS_HIDDEN } from "../redis/check_server.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { UnsuitableRedis } from "../redis/master.ts";
import { RedisError, refusesAllWrites } from "../redis/failures.ts";
import { bad, type Finding, good, warn } from "./finding.ts";
import { type Reader, readersOf } from "./outbound_readers.ts";
import { openRedis } from "./stores.ts";

export interface RedisSide {
  readonly findings: readonly Finding[];
  readonly readers: readonly Reader[];
}

/** @param bounded bounds a check as the start-up does */
export async function checkRedisSide(
  config: Config,
  bounded: <Value>(check: () => Promise<Value>) => Promise<Value>,
): Promise<RedisSide> {
  const redis = openRedis(config, "check");
  const { host, port } = config.redis;
  const findings: Finding[] = [];
  const readers: Reader[] = [];
  try {
    const warnings = await bounded(async () => {
      await redis.connect();
      const found = await checkRedis(redis);
      await tryHandOff(redis);
      return found;
    });
    findings.push(
      good("redis", `a master at ${host}:${port} that lets the hand-off script work`),
      ...(redis.asksForPassword ? [] : [warn("redis password", PASSWORD_NOT_ASKED, "set requirepass in redis.conf")]),
      ...warnings.map((warning) => warn("redis", warning, adviceOn(warning))),
    );
  } catch (error) {
    findings.push(bad("redis", (error as Error).message, adviceFor(error, config)));
    await redis.close();
    return { findings, readers };
  }
  try {
    const { clientEventsStream, mailCommandsStream } = config.publish;
    findings.push(await checkStream(redis, config.intents.stream));
    for (const stream of [clientEventsStream, mailCommandsStream]) {
      const finding = await checkStream(redis, stream);
      findings.push(finding);
      if (!finding.ok) continue;
      try {
        readers.push(await readersOf(redis, stream));
      } catch (error) {
        findings.push(notLookedAt(`readers of ${stream}`, error));
      }
    }
  } finally {
    await redis.close();
  }
  return { findings, readers };
}

// The commands of the start-up's throwaway hand-off, on keys that don't exist: XADD NOMKSTREAM appends nothing without
// the stream, SET XX sets nothing without the key. Redis checks the rights all the same.
const TRY_HAND_OFF = new Script(`
redis.call('TIME')
redis.call('GET', KEYS[2])
redis.call('XADD', KEYS[1], 'NOMKSTREAM', '*', 'check', 'check')
redis.call('SET', KEYS[2], 'check', 'XX', 'PX', 1000)
redis.call('XDEL', KEYS[1], '1-1')
redis.call('PEXPIRE', KEYS[2], 1000)
return 1
`);

/** @throws RedisError if the start-up would fail; it does not fail because Redis refuses writes for now */
async function tryHandOff(redis: RedisConnection): Promise<void> {
  const lease = routeLeaseKey("start-up", crypto.randomUUID());
  const stream = `${lease}:stream`;
  try {
    await redis.call("TIME");
    await redis.run(TRY_HAND_OFF, [stream, lease], []);
    await redis.call("XDEL", stream, "1-1");
    await redis.call("DEL", stream, lease);
    await redis.call("WAIT", 0, 0);
  } catch (error) {
    if (!(error instanceof RedisError && refusesAllWrites(error.message))) throw error;
  }
}

/** Commands that only `check` uses do not keep `run` from starting. */
async function checkStream(redis: RedisConnection, stream: string): Promise<Finding> {
  const name = `stream ${stream}`;
  try {
    const type = String(await redis.call("TYPE", stream));
    if (type === "stream") return good(name, `${await redis.call("XLEN", stream)} entries`);
    if (type === "none") return good(name, "does not exist yet: the first entry creates it");
    return warn(name, `the key is a ${type}, not a stream`, "move that key away, or configure another name");
  } catch (error) {
    return notLookedAt(name, error);
  }
}

function notLookedAt(name: string, error: unknown): Finding {
  return warn(name, `could not be looked at: ${(error as Error).message}`, ACCESS_CONTROL);
}

function adviceOn(warning: string): string {
  return warning === REPLICATION_ID_IS_HIDDEN
    ? "let INFO replication show master_replid, or see that a failover breaks connections"
    : "turn on appendonly or snapshots";
}

const ACCESS_CONTROL = "see that the user default has all that the line in docs/security.md gives it";

function adviceFor(error: unknown, { redis }: Config): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof UnsuitableRedis) return cause.advice;
  const { code, message } = cause instanceof RedisError ? cause : { code: "", message: "" };
  if (code === "NOPERM") return ACCESS_CONTROL;
  if (code === "WRONGPASS" || code === "NOAUTH" || /password/i.test(message)) {
    return "let NOTIFICATION_REDIS_PASSWORD be the password of Redis's user default";
  }
  if (/DB index/i.test(message)) return "let NOTIFICATION_REDIS_DB be below redis.conf's databases";
  return `see that Redis runs at ${redis.host}:${redis.port} and answers in time`;
}
