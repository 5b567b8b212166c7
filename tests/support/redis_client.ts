/**
 * The address of a key space → an ioredis client with which a test reads and writes it.
 *
 * Commands fail at once while there is no connection (nothing is queued or sent twice), and after `closeRedis` neither
 * connection nor timer is left.
 */
import { Redis, type RedisOptions } from "ioredis";
import { isRestricted, OBSERVER } from "../../scripts/servers/restricted.ts";

const DISCONNECT_TIMEOUT_MS = 2;

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly password: string;
  readonly db?: number;
}

/** Returns a client that is connected. */
export async function openRedis({ host, port, password, db = 0 }: RedisAddress, options: RedisOptions = {}) {
  const client = new Redis({
    ...(isRestricted() ? { username: OBSERVER } : {}),
    ...{ host, port, password, db, lazyConnect: true, maxRetriesPerRequest: 0, enableOfflineQueue: false },
    retryStrategy: () => 50,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    ...options,
  });
  client.on("error", () => {}); // the failing commands reject too
  try {
    await client.connect();
  } catch (error) {
    await closeRedis(client);
    throw error;
  }
  return client;
}

export async function closeRedis(client: Redis): Promise<void> {
  if (client.status === "end") return;
  // Between two connections there is no "end" event to wait for, only ioredis's timer on the stream that is already
  // closed.
  const over = client.status === "reconnecting"
    ? new Promise((resolve) => setTimeout(resolve, 10 * DISCONNECT_TIMEOUT_MS))
    : new Promise((resolve) => client.once("end", resolve));
  client.disconnect();
  await over;
}
