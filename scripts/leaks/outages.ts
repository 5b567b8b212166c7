/**
 * A service in this process and a number of minutes → samples while it runs, one after its recovery from each outage.
 * The dependencies stop, hang, break connections or answer with errors, one after another.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../../tests/support/wait.ts";
import { hang } from "../servers/user_service.ts";
import { type Sample, takeSample } from "./sample.ts";
import type { InProcessService } from "./in_process_service.ts";

type Outage = (service: InProcessService) => Promise<unknown>;

/** The length of an outage: longer than every time-out of an operation. */
const OUTAGE_MS = 1300;
const FEED_MS = 100;
/**
 * More than the recent records that the service keeps in memory; until this limit is reached, their growth would look
 * like a leak.
 */
const WARM_UP_INTENTS = 6000;
const STEP = 500;

const OUTAGES: Readonly<Record<string, Outage>> = {
  async "Redis stopped"({ redisServer }) {
    await redisServer.stop();
    await sleep(OUTAGE_MS);
    await redisServer.start();
  },
  async "Redis hangs"({ redisServer }) {
    await redisServer.kill("SIGSTOP");
    await sleep(OUTAGE_MS);
    await redisServer.kill("SIGCONT");
  },
  async "Redis breaks connections"({ redis }) {
    await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
  },
  async "PostgreSQL stopped"({ postgresServer }) {
    await postgresServer.stop();
    await sleep(OUTAGE_MS);
    await postgresServer.start();
  },
  async "PostgreSQL hangs"({ postgresServer }) {
    await postgresServer.kill("SIGSTOP");
    await sleep(OUTAGE_MS);
    await postgresServer.kill("SIGCONT");
  },
  async "PostgreSQL breaks connections"({ pool }) {
    await pool.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'notification-service/%'",
    );
  },
  async "User Service refuses"({ users }) {
    await users.stop();
    await sleep(OUTAGE_MS);
    users.start();
  },
  async "User Service hangs"({ users }) {
    users.behaviour = hang;
    await sleep(OUTAGE_MS);
    users.behaviour = undefined;
  },
  async "User Service answers 500"({ users }) {
    users.behaviour = () => new Response("oh", { status: 500 });
    await sleep(OUTAGE_MS);
    users.behaviour = undefined;
  },
};

export async function playOutages(service: InProcessService, minutes: number): Promise<Sample[]> {
  const samples: Sample[] = [];
  const running = service.start();
  for (let done = 0; done < WARM_UP_INTENTS; done += STEP) await service.addIntents(STEP);
  await service.settled();
  const end = performance.now() + minutes * 60_000;
  while (performance.now() < end) {
    for (const outage of Object.values(OUTAGES)) {
      const isOver = new AbortController();
      const fed = feed(service, isOver.signal);
      await outage(service);
      isOver.abort();
      await fed;
      await service.settled();
      samples.push(await takeSample());
    }
  }
  await running.stop();
  return samples;
}

/** Sends intents during the outage. Intents that Redis does not accept are dropped. */
async function feed(service: InProcessService, isOver: AbortSignal): Promise<void> {
  while (!isOver.aborted) {
    await service.addIntents(1).catch(() => {}); // Redis is unavailable
    await sleep(FEED_MS);
  }
  // The dependency is back, but the connection to Redis may follow a little later.
  await eventually(() => service.addIntents(1).then(() => true));
}
