/**
 * Redis comes back without some acknowledged writes: a replica is promoted that has not received the last writes, the
 * append-only file is truncated, or only a snapshot exists.
 *
 * A loss is counted if the last entry of the push stream is older than before.
 */
import { readFile, stat, truncate } from "node:fs/promises";
import type { Redis } from "ioredis";
import { closeRedis, openRedis } from "../../../tests/support/redis_client.ts";
import { eventually } from "../../../tests/support/wait.ts";
import { type Fault, type Injection, pause, type Scene } from "../fault.ts";
import type { RedisServer } from "../../servers/redis.ts";
import type { LossWindow } from "../facts.ts";
import type { Producer } from "../producer.ts";
import { entryMs } from "../sent_entry.ts";
import { startChaosRedis, STREAMS } from "../setting.ts";
import { TcpProxy } from "../tcp_proxy.ts";

/** With long streams, loading and replication take long, because Redis serves other clients meanwhile. */
const SYNC_LIMIT_MS = 60_000;
/**
 * Redis writes commands to the file at the end of a turn of its event loop, so a command may be this much older than
 * its write.
 */
const TURN_MS = 200;

export const REDIS_LOSS_FAULTS: readonly Fault[] = [
  {
    name: "redis-promoted",
    summary: "a replica is promoted that received no writes for a second",
    part: "redis",
    outage: "redis",
    loses: true,
    inject: (scene) => promoteReplica(scene),
  },
  {
    name: "redis-truncated",
    summary: "Redis is killed, and its append-only file is cut at a random byte of the last second",
    part: "redis",
    outage: "redis",
    loses: true,
    inject: truncateFile,
  },
  {
    name: "redis-snapshot",
    summary: "Redis keeps only snapshots, and is killed some seconds after the last one",
    part: "redis",
    outage: "redis",
    loses: true,
    inject: returnToSnapshot,
  },
];

/** @param options.whileHeld called before the promotion, when the replica has received no writes for some time */
export async function promoteReplica(
  { setting, chance, producer }: Scene,
  { whileHeld = () => Promise.resolve() }: { readonly whileHeld?: () => Promise<void> } = {},
): Promise<Injection> {
  const old = setting.redisServer;
  using link = new TcpProxy(old.port);
  const replica = await startChaosRedis({ password: old.password });
  const client = await openRedis(replica);
  await follow(client, { port: link.port, password: old.password });
  const fromMs = Date.now();
  await setting.redis.call("WAIT", 1, 4000);
  link.freeze();
  await pause(chance.between(0.8, 1.5));
  await whileHeld();
  const before = await endOf(setting.redis);
  // The old master is killed before the address is changed, or only afterwards.
  const isKilledFirst = chance.oneIn(2);
  if (isKilledFirst) await old.kill("SIGKILL");
  await client.replicaof("NO", "ONE");
  const after = await endOf(client);
  setting.useRedis(replica);
  const toMs = Date.now();
  await closeRedis(client);
  await old[Symbol.asyncDispose]();
  const note = isKilledFirst ? "the old server was killed first" : "the address was changed first";
  return lossOf(producer, { before, after, fromMs, toMs, returnedAtMs: toMs, note });
}

/** Resolves when the replica has all data and has written it to its own file. */
async function follow(replica: Redis, { port, password }: { port: number; password: string }): Promise<void> {
  await replica.config("SET", "masterauth", password);
  await replica.replicaof("127.0.0.1", port);
  await eventually(async () => {
    const info = await replica.info();
    return info.includes("master_link_status:up") && isFileWritten(info);
  }, { timeoutMs: SYNC_LIMIT_MS, message: "The replica never caught up" });
}

async function truncateFile({ setting, chance, producer }: Scene): Promise<Injection> {
  const { redisServer } = setting;
  // Nothing that was judged already may be lost, and only the last second is lost.
  await pause(chance.between(0.3, 1));
  const fromMs = Date.now() - TURN_MS;
  const earlier = await lastFile(redisServer);
  await pause(1);
  const before = await endOf(setting.redis);
  await redisServer.kill("SIGKILL");
  const toMs = Date.now();
  const file = await lastFile(redisServer);
  const start = file.path === earlier.path ? earlier.bytes : 0;
  const bytes = chance.whole(start, file.bytes);
  await truncate(file.path, bytes);
  await redisServer.start();
  const returnedAtMs = Date.now();
  const after = await endNow(redisServer);
  return lossOf(producer, { before, after, fromMs, toMs, returnedAtMs, note: `${file.bytes - bytes} bytes cut off` });
}

/** Returns the file that Redis appends to, which is the last one in the manifest. */
async function lastFile({ folder }: RedisServer): Promise<{ path: string; bytes: number }> {
  const manifest = await readFile(`${folder}/appendonlydir/appendonly.aof.manifest`, "utf8");
  const names = [...manifest.matchAll(/^file (\S+) seq \d+ type i/gm)].map(([, name]) => name!);
  const path = `${folder}/appendonlydir/${names.at(-1)}`;
  return { path, bytes: (await stat(path)).size };
}

async function returnToSnapshot({ setting, chance, producer }: Scene): Promise<Injection> {
  const { redis, redisServer } = setting;
  await redis.config("SET", "appendonly", "no");
  const fromMs = Date.now();
  const saved = await redis.lastsave();
  await eventually(() => redis.bgsave(), { timeoutMs: SYNC_LIMIT_MS }); // a rewrite of the file may be in progress
  await eventually(async () => {
    return await redis.lastsave() > saved && (await redis.info("persistence")).includes("rdb_bgsave_in_progress:0");
  }, { timeoutMs: SYNC_LIMIT_MS });
  await pause(chance.between(0.5, 4));
  const before = await endOf(redis);
  await redisServer.kill("SIGKILL");
  const toMs = Date.now();
  await redisServer.start(["--appendonly", "no"]);
  const returnedAtMs = Date.now();
  const after = await endNow(redisServer);
  // From now on Redis writes its append-only file again.
  await eventually(() => redis.config("SET", "appendonly", "yes"), { timeoutMs: SYNC_LIMIT_MS });
  await eventually(async () => isFileWritten(await redis.info("persistence")), { timeoutMs: SYNC_LIMIT_MS });
  return lossOf(producer, { before, after, fromMs, toMs, returnedAtMs, note: "" });
}

function isFileWritten(info: string): boolean {
  return ["aof_enabled:1", "aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"].every((line) => info.includes(line));
}

/** The id of the last entry of the push stream; `0-0` if there is none. */
async function endOf(redis: Redis): Promise<string> {
  if (await redis.exists(STREAMS.push) === 0) return "0-0";
  const info = await redis.xinfo("STREAM", STREAMS.push) as unknown[];
  return String(info[info.indexOf("last-generated-id") + 1]);
}

/** Like endOf(), immediately after a start: the service is about to append again. */
async function endNow(server: RedisServer): Promise<string> {
  const client = await openRedis(server);
  try {
    return await endOf(client);
  } finally {
    await closeRedis(client);
  }
}

interface Loss extends Pick<LossWindow, "fromMs" | "toMs"> {
  /** The last entry of the push stream before and after the loss. */
  readonly before: string;
  readonly after: string;
  readonly returnedAtMs: number;
  readonly note: string;
}

function lossOf(producer: Producer, { before, after, fromMs, toMs, returnedAtMs, note }: Loss): Injection {
  const lostMs = entryMs(before) - entryMs(after);
  producer.sendAgain({ fromMs, toMs });
  return {
    times: lostMs > 0 ? 1 : 0,
    losses: [{ store: "redis", fromMs, toMs }],
    returnedAtMs,
    note: [`the last ${lostMs} ms of the push stream are lost`, note].filter((text) => text !== "").join(", "),
  };
}
