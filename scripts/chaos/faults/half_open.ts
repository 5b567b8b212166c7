// Connections that nobody has closed and on which nothing comes any more, and connections that break at any moment.

import { again, type Fault, pause } from "../fault.ts";

type Proxied = "redis" | "postgres" | "users";

const NAMES = { redis: "Redis", postgres: "PostgreSQL", users: "the User Service" } as const;

export const HALF_OPEN_FAULTS: readonly Fault[] = (["redis", "postgres", "users"] as const).flatMap((part) => [
  halfOpen(part),
  cut(part),
]);

function halfOpen(part: Proxied): Fault {
  return {
    name: `${part}-half-open`,
    summary: `connections to ${NAMES[part]} stay open, but nothing passes`,
    part,
    // Another instance would do the work of a loop that hangs.
    instances: [1, 1],
    async inject({ setting, chance }) {
      const proxy = setting.proxies[part];
      const seconds = chance.oneIn(8) ? chance.between(10, 12) : chance.between(1.3, 3.5);
      const lose = chance.oneIn(2);
      proxy.freeze();
      await pause(seconds);
      proxy.thaw({ lose });
      return { times: 1, note: `${seconds.toFixed(1)} s, then what was held back ${lose ? "was lost" : "arrived"}` };
    },
  };
}

function cut(part: Proxied): Fault {
  return {
    name: `${part}-cut`,
    summary: `connections to ${NAMES[part]} break again and again, answers on their way are lost`,
    part,
    async inject({ setting, chance }) {
      const times = await again(
        chance,
        { seconds: chance.between(1.2, 2), pauses: [0.02, 0.25] },
        () => Promise.resolve(setting.proxies[part].cut()),
      );
      return { times };
    },
  };
}
