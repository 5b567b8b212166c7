/** Connections that stay open but deliver nothing, and connections that break at any moment. */
import { type Fault, pause, repeatFor } from "../fault.ts";
import { withinBackoff } from "./user_service.ts";

type Proxied = "redis" | "postgres" | "users";

const NAMES = { redis: "Redis", postgres: "PostgreSQL", users: "the User Service" } as const;

/** How long the service waits for one reply. */
const TIMEOUT_SECONDS = { redis: 1, postgres: 2, users: 1 } as const;

export const HALF_OPEN_FAULTS: readonly Fault[] = (["redis", "postgres", "users"] as const).flatMap((part) => [
  halfOpen(part),
  cut(part),
]).concat(droppedState());

function halfOpen(part: Proxied): Fault {
  return {
    name: `${part}-half-open`,
    summary: `connections to ${NAMES[part]} stay open, but nothing passes`,
    part,
    outage: part === "users" ? "user_service" : part,
    ...(part === "users" ? { recoversWithin: withinBackoff() } : {}),
    // One instance only: another one would do the work of a loop that hangs.
    instances: [1, 1],
    async inject({ setting, chance }) {
      const proxy = setting.proxies[part];
      const seconds = chance.oneIn(8) ? chance.between(10, 12) : chance.between(0.3, 2.5) + TIMEOUT_SECONDS[part];
      const lose = chance.oneIn(2);
      proxy.freeze();
      await pause(seconds);
      proxy.thaw({ lose });
      return { times: 1, note: `${seconds.toFixed(1)} s, then what was held back ${lose ? "was lost" : "arrived"}` };
    },
  };
}

/** Many idle connections are dead at the same time, and each look-up on such a connection waits for its time-out. */
function droppedState(): Fault {
  return {
    name: "users-forgotten",
    summary: "a firewall drops the state of idle connections to the User Service, and few look-ups are made",
    part: "users",
    outage: "user_service",
    instances: [1, 1],
    profile: "tiny",
    isAlwaysAlone: true,
    // Enough for one time-out, the first pause, and new intents at this rate, but not for a time-out and a pause for
    // each connection.
    recoversWithin: () => 5,
    async inject({ setting, mix, producer }) {
      const { users } = setting.proxies;
      mix.longLists.push(200); // opens the maximum number of connections
      await pause(1.5);
      producer.share = 0.02;
      await pause(0.5);
      const { size } = users;
      users.freeze();
      users.thaw({ lose: true });
      await pause(1);
      return { times: 1, note: `${size} connections` };
    },
  };
}

function cut(part: Proxied): Fault {
  return {
    name: `${part}-cut`,
    summary: `connections to ${NAMES[part]} break repeatedly, and replies are lost`,
    part,
    async inject({ setting, chance }) {
      let times = 0;
      await repeatFor(chance, { seconds: chance.between(1.2, 2), pauses: [0.02, 0.25] }, () => {
        if (setting.proxies[part].cut() > 0) times++;
      });
      return { times };
    },
  };
}
