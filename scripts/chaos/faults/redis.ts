/** Redis goes and comes back, refuses writes, forgets its scripts, or accepts no login. */
import { eventually } from "../../../tests/support/wait.ts";
import type { Setting } from "../setting.ts";
import { again, type Fault, pause } from "../fault.ts";

/** The service's default. */
const BLOCKING_READ_SECONDS = 2;

export const REDIS_FAULTS: readonly Fault[] = [
  restart("redis-restart-short", "Redis is stopped for less than a blocking read", [0.1, 1]),
  restart("redis-restart-long", "Redis is stopped for longer than a blocking read", [2.3, 3.5]),
  {
    name: "redis-kill",
    summary: "Redis is killed with -9 and loads its file (LOADING)",
    part: "redis",
    outage: "redis",
    async inject({ setting, chance }) {
      await setting.redisServer.kill("SIGKILL");
      await pause(chance.between(0, 0.5));
      const loading = new AbortController();
      const seen = countLoading(setting, loading.signal);
      await setting.redisServer.start();
      loading.abort();
      return { times: 1, note: `LOADING was answered ${await seen} times` };
    },
  },
  {
    name: "redis-oom",
    summary: "maxmemory is reached (OOM), then raised",
    part: "redis",
    outage: "redis",
    async inject({ setting, chance }) {
      // Over it at once, or in the middle of a batch a little later: how soon a room is used up is not known, so that
      // it ends. Producers are refused as well; what feels it for certain is the lease, which is renewed every second.
      const room = chance.oneIn(2) ? 0 : chance.whole(20_000, 400_000);
      const used = Number(/used_memory:(\d+)/.exec(await setting.redis.info("memory"))?.[1]);
      if (room > 0) {
        await setting.redis.config("SET", "maxmemory", used + room);
        await pause(chance.between(0.5, 1));
      }
      await setting.redis.config("SET", "maxmemory", used - 1_000_000);
      await pause(chance.between(1.2, 2));
      await setting.redis.config("SET", "maxmemory", 0);
      return { times: 1, note: room === 0 ? "at once" : `after ${Math.round(room / 1000)} kB, or soon` };
    },
  },
  {
    name: "redis-readonly",
    summary: "Redis is made a replica (READONLY, MASTERDOWN), then promoted",
    part: "redis",
    outage: "redis",
    async inject({ setting, chance }) {
      const { redis } = setting;
      const stale = chance.oneIn(3) ? "no" : "yes";
      await redis.config("SET", "replica-serve-stale-data", stale);
      await redis.replicaof("127.0.0.1", 1); // no server is there, so that it keeps its data
      await pause(chance.between(0.8, 2));
      await redis.replicaof("NO", "ONE");
      await redis.config("SET", "replica-serve-stale-data", "yes");
      return { times: 1, note: stale === "yes" ? "READONLY" : "MASTERDOWN" };
    },
  },
  {
    name: "redis-password",
    summary: "the password is changed under the service, and back",
    part: "redis",
    outage: "redis",
    async inject({ setting, chance }) {
      const { redis, redisServer } = setting;
      await redis.config("SET", "requirepass", "another");
      const end = chance.between(0.8, 2);
      // Who is logged in stays so until the connection breaks.
      await pause(chance.between(0, 0.3));
      await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      await pause(end);
      await redis.config("SET", "requirepass", redisServer.password);
      return { times: 1 };
    },
  },
  {
    name: "redis-script-flush",
    summary: "Redis forgets its scripts again and again",
    part: "redis",
    async inject({ setting, chance }) {
      const before = await countMissedScripts(setting);
      await again(
        chance,
        { seconds: chance.between(1, 2), pauses: [0, 0.1] },
        () => setting.redis.script("FLUSH"),
      );
      return { times: await countMissedScripts(setting) - before };
    },
  },
];

function restart(name: string, summary: string, [least, most]: readonly [number, number]): Fault {
  const isShort = most < BLOCKING_READ_SECONDS;
  return {
    name,
    summary,
    part: "redis",
    outage: "redis",
    async inject({ setting, chance }) {
      const { redisServer, proxies: { redis } } = setting;
      const seconds = chance.between(least, most);
      // Behind a proxy that goes on listening, or with the port closed.
      const refuses = chance.oneIn(2);
      if (isShort) await shortenFile(setting);
      const start = performance.now();
      await redisServer.stop();
      if (refuses) redis.refuse();
      await pause(seconds);
      await redisServer.start();
      if (refuses) redis.accept();
      // Stopping and starting take their time as well.
      const away = (performance.now() - start) / 1000;
      return {
        times: away < BLOCKING_READ_SECONDS === isShort ? 1 : 0,
        note: `away for ${away.toFixed(1)} s${refuses ? ", connections refused" : ""}`,
      };
    },
  };
}

/** So that loading it takes no time: its commands give way to the few keys that there are. */
async function shortenFile({ redis }: Setting): Promise<void> {
  await redis.bgrewriteaof().catch(() => {}); // one is under way
  await eventually(async () => /aof_rewrite_in_progress:0/.test(await redis.info("persistence")), {
    timeoutMs: 30_000,
  });
}

/** How often a script was called that Redis has forgotten. */
async function countMissedScripts({ redis }: Setting): Promise<number> {
  return Number(/errorstat_NOSCRIPT:count=(\d+)/.exec(await redis.info("errorstats"))?.[1] ?? 0);
}

/** How often a server that loads its file says so, asked as fast as it answers. */
async function countLoading({ redisServer: { port, password } }: Setting, signal: AbortSignal): Promise<number> {
  let seen = 0;
  while (!signal.aborted) {
    try {
      using connection = await Deno.connect({ hostname: "127.0.0.1", port });
      await connection.write(new TextEncoder().encode(`AUTH ${password}\r\nPING\r\n`));
      const reply = new Uint8Array(256);
      const length = await connection.read(reply);
      if (new TextDecoder().decode(reply.subarray(0, length ?? 0)).includes("LOADING")) seen++;
    } catch {
      // not listening yet
    }
    await pause(0.01);
  }
  return seen;
}
