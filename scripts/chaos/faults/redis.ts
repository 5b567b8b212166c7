/** Redis is stopped and started again, refuses writes, loses its cached scripts, or rejects the password. */
import { eventually } from "../../../tests/support/wait.ts";
import type { Setting } from "../setting.ts";
import { type Fault, pause, repeatFor } from "../fault.ts";

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
      // The limit is exceeded at once, or a little later in the middle of a batch. How soon the room is used up is not
      // known, so it is taken away after a second at most. Producers are refused as well; the one command of the
      // service that is certain to fail is the renewal of the lease, every second.
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
      await redis.replicaof("127.0.0.1", 1); // no server listens on this port, so Redis keeps its data
      await pause(chance.between(0.8, 2));
      await redis.replicaof("NO", "ONE");
      await redis.config("SET", "replica-serve-stale-data", "yes");
      return { times: 1, note: stale === "yes" ? "READONLY" : "MASTERDOWN" };
    },
  },
  {
    name: "redis-password",
    summary: "the password is changed while the service runs, then changed back",
    part: "redis",
    outage: "redis",
    async inject({ setting, chance }) {
      const { redis, redisServer } = setting;
      await redis.config("SET", "requirepass", "another");
      const end = chance.between(0.8, 2);
      // Clients that are logged in stay logged in until their connection breaks.
      await pause(chance.between(0, 0.3));
      await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      await pause(end);
      await redis.config("SET", "requirepass", redisServer.password);
      return { times: 1 };
    },
  },
  {
    name: "redis-script-flush",
    summary: "Redis's script cache is flushed repeatedly",
    part: "redis",
    async inject({ setting, chance }) {
      const before = await countMissedScripts(setting);
      await repeatFor(
        chance,
        { seconds: chance.between(1, 2), pauses: [0, 0.1] },
        () => setting.redis.script("FLUSH"),
      );
      return { times: await countMissedScripts(setting) - before };
    },
  },
];

function restart(name: string, summary: string, [min, max]: readonly [number, number]): Fault {
  const isShort = max < BLOCKING_READ_SECONDS;
  return {
    name,
    summary,
    part: "redis",
    outage: "redis",
    async inject({ setting, chance }) {
      const { redisServer, proxies: { redis } } = setting;
      const seconds = chance.between(min, max);
      // The proxy refuses connections, or it accepts them and then closes them.
      const refuses = chance.oneIn(2);
      if (isShort) await shortenFile(setting);
      const start = performance.now();
      await redisServer.stop();
      if (refuses) redis.refuse();
      await pause(seconds);
      await redisServer.start();
      if (refuses) redis.accept();
      // Stopping and starting Redis take time as well.
      const downSeconds = (performance.now() - start) / 1000;
      return {
        times: downSeconds < BLOCKING_READ_SECONDS === isShort ? 1 : 0,
        note: `stopped for ${downSeconds.toFixed(1)} s${refuses ? ", connections refused" : ""}`,
      };
    },
  };
}

/** Rewrites the append-only file, which then has only the present keys, so that loading takes no time. */
async function shortenFile({ redis }: Setting): Promise<void> {
  await redis.bgrewriteaof().catch(() => {}); // a rewrite is in progress already
  await eventually(async () => /aof_rewrite_in_progress:0/.test(await redis.info("persistence")), {
    timeoutMs: 30_000,
  });
}

/** How often Redis has answered NOSCRIPT. */
async function countMissedScripts({ redis }: Setting): Promise<number> {
  return Number(/errorstat_NOSCRIPT:count=(\d+)/.exec(await redis.info("errorstats"))?.[1] ?? 0);
}

/** Asks the server continuously until `signal` aborts, and counts the LOADING replies. */
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
