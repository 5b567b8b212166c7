/**
 * Nothing, or the test's own users, variables and servers → everything that a test of the running service needs: a
 * fresh database and key space, a stand-in User Service, clients for all of them, and the service itself, once or
 * several times.
 *
 * Disposing of it ends every instance, closes every connection and drops the database.
 */
import type { Postgres } from "../../scripts/servers/postgres.ts";
import type { RedisServer } from "../../scripts/servers/redis.ts";
import { isRestricted, restrictedRole } from "../../scripts/servers/restricted.ts";
import { startUserService, type User } from "../../scripts/servers/user_service.ts";
import { freshDatabase, freshKeySpace, removeDatabase } from "./environment.ts";
import { openRigOn, type Rig } from "./service_rig.ts";

export type { Rig } from "./service_rig.ts";

export interface RigOptions {
  /** Environment variables in addition to the rig's own; `undefined` removes one. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Default: `user-1` (German) and `user-2` (English), both with an address. */
  readonly users?: Iterable<readonly [string, User]>;
  /** For many users: called for an id that is not in `users`. */
  readonly otherUsers?: (id: string) => User | undefined;
  /** A server of the test's own, which it may stop and kill; the test disposes of it after the rig. */
  readonly redisServer?: RedisServer;
  /**
   * For tests that create a schema or roles themselves: the service is PostgreSQL's superuser, also with
   * `--restricted`.
   */
  readonly superuser?: true;
  readonly postgresServer?: Postgres;
  /** Options of CREATE DATABASE for the shared server, e.g. `TEMPLATE template0 ENCODING 'LATIN1'`. */
  readonly database?: string;
}

const USERS: readonly (readonly [string, User])[] = [
  ["user-1", { email: "user-1@example.com", preferred_language: "de" }],
  ["user-2", { email: "user-2@example.com", preferred_language: "en-US" }],
];

export async function openRig(
  { env, users = USERS, otherUsers, redisServer, postgresServer, superuser, database }: RigOptions = {},
): Promise<Rig> {
  const dsn = await (postgresServer?.createDatabase() ?? freshDatabase(database));
  return await openRigOn({
    dsn,
    keySpace: redisServer ?? await freshKeySpace(),
    users: startUserService({ users, ...(otherUsers === undefined ? {} : { otherUsers }) }),
    env: {
      ...(isRestricted() && !superuser ? { NOTIFICATION_POSTGRES_PRIMARY_DSN: await restrictedRole(dsn) } : {}),
      NOTIFICATION_USER_SERVICE_CACHE_TTL: "0s", // a test changes a user and expects the change to be seen
      NOTIFICATION_USER_SERVICE_TIMEOUT: "10s", // the stand-in lives in the test's own process, which may be busy
      ...env,
    },
    ...(postgresServer === undefined ? { afterwards: () => removeDatabase(dsn) } : {}),
  });
}
