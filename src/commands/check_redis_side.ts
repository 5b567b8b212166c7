/**
 * Redis and its streams → what `run` would find at its start, and what it would run into later. Writes nothing, also where
 * it tries rights to write.
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

/** @param bounded ends a check as the start-up would */
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

// All that the start-up's throwaway hand-off does, on keys that don't exist: without its stream XADD NOMKSTREAM appends
// nothing, without its key SET XX sets nothing. The rights are asked for all the same.
const TRY_HAND_OFF = new Script(`
redis.call('TIME')
redis.call('GET', KEYS[2])
redis.call('XADD', KEYS[1], 'NOMKSTREAM', '*', 'check', 'check')
redis.call('SET', KEYS[2], 'check', 'XX', 'PX', 1000)
redis.call('XDEL', KEYS[1], '1-1')
redis.call('PEXPIRE', KEYS[2], 1000)
return 1
`);

/** @throws RedisError where the start-up would fail; that Redis refuses writes for now is no reason not to start */
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

/** What only this command asks for is no reason not to start. */
async function checkStream(redis: RedisConnection, stream: string): Promise<Finding> {
  const name = `stream ${stream}`;
  try {
    const type = String(await redis.call("TYPE", stream));
    if (type === "stream") return good(name, `${await redis.call("XLEN", stream)} entries`);
    if (type === "none") return good(name, "not there yet: the first entry makes it");
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
