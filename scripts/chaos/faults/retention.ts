// Records go as soon as they are finished, while they are still worked on.

import { type Fault, pause } from "../fault.ts";

export const RETENTION_FAULTS: readonly Fault[] = [
  {
    name: "retention",
    summary: "records are kept for 50 ms only: what is not finished has to stay",
    part: "instances",
    instances: [2, 3],
    profile: "default",
    isAlwaysAlone: true,
    finishedMayBeGone: true,
    env: { NOTIFICATION_RECORD_RETENTION: "50ms", NOTIFICATION_CLEANUP_INTERVAL: "20ms" },
    async inject({ setting, chance }) {
      // A stall makes records that are older than their retention before they are finished.
      for (let stalls = chance.whole(2, 4); stalls > 0; stalls--) {
        await pause(chance.between(0.3, 1));
        setting.proxies.redis.freeze();
        await pause(chance.between(0.3, 1.5));
        setting.proxies.redis.thaw({ lose: false });
      }
      return { times: 1 };
    },
  },
];
