/**
 * A configuration → PostgreSQL and Redis during a command, by the service's own pool and connection.
 *
 * If one of them refuses, the command ends with 69 and one line without secrets.
 */
import type pg from "pg";
import type { Config } from "../config/config.ts";
import { describePostgresError, postgresFailure } from "../postgres/failures.ts";
import { openPool, type PostgresPool } from "../postgres/pool.ts";
import { SchemaError } from "../postgres/schema_error.ts";
import { unsuitablePostgresIn } from "../postgres/unsuitable.ts";
import { RedisConnection } from "../redis/connection.ts";
import { RedisError } from "../redis/failures.ts";
import { COMMAND_EXIT, CommandFailed } from "./command.ts";

export interface Stores {
  readonly postgres: pg.Pool;
  readonly redis: RedisConnection;
}

const CLOSE_MS = 1000;

export async function withStores<Result>(
  config: Config,
  command: string,
  work: (stores: Stores) => Promise<Result>,
): Promise<Result> {
  return await withPostgres(config, command, async (postgres) => {
    const redis = openRedis(config, command);
    try {
      await redis.connect();
      return await work({ postgres, redis });
    } finally {
      await redis.close();
    }
  });
}

export async function withPostgres<Result>(
  config: Config,
  command: string,
  work: (postgres: pg.Pool) => Promise<Result>,
): Promise<Result> {
  const postgres = openPostgres(config, command);
  try {
    return await work(postgres);
  } catch (error) {
    throw unavailable(error);
  } finally {
    await postgres.close(CLOSE_MS);
  }
}

/** @throws CommandFailed when the DSN can't be used */
export function openPostgres(config: Config, command: string): PostgresPool {
  try {
    // Not `notification-service/…`, by which `status` recognises instances.
    return openPool({ ...config.postgres, maxOpenConns: 4, applicationName: `notification-service ${command}` });
  } catch (error) {
    throw new CommandFailed(COMMAND_EXIT.configuration, (error as Error).message);
  }
}

export function openRedis(config: Config, command: string): RedisConnection {
  return new RedisConnection(config.redis, { role: command });
}

/** The failure of a dependency as a message for the operator; any other error unchanged. */
function unavailable(error: unknown): unknown {
  if (error instanceof RedisError) return failed(`Redis: ${error.message}`);
  const unsuitable = unsuitablePostgresIn(error);
  if (unsuitable !== undefined) return failed(`${unsuitable.message}\n${unsuitable.advice}`);
  if (error instanceof SchemaError) return failed(error.message);
  // The tables or the schema do not exist yet, or do not belong to this role.
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (code === "42P01" || code === "3F000") {
    return failed("the schema does not exist yet: notification-service migrate up creates it");
  }
  if (postgresFailure(error) !== undefined) return failed(`PostgreSQL: ${describePostgresError(error)}`);
  return error;
}

function failed(message: string): CommandFailed {
  return new CommandFailed(COMMAND_EXIT.dependency, message);
}
