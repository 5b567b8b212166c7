// The second step of configuration, pure: what env.ts read goes in, typed sections come out, or every problem at once,
// one line each, naming the variable in full and what it should look like.
// No problem or warning repeats a value, so none can hold a secret; secrets in Config print as [redacted].

import { administratorEmailsName, isAdministratorEmailsName, readAdministratorEmails } from "./administrator_emails.ts";
import type { Environment } from "./env.ts";
import { nearestName, shownName } from "./names.ts";
import { brokenRules } from "./rules.ts";
import type { Secret } from "./secret.ts";
import { readValues } from "./values.ts";
import { deprecatedVariables, fileForm, prefix, type Values, variableList } from "./variables.ts";

/** Fields ending in Ms are whole milliseconds. */
export interface Config {
  readonly redis: {
    readonly host: string;
    readonly port: number;
    readonly password: Secret;
    readonly db: number;
    readonly operationTimeoutMs: number;
    readonly waitReplicas: number;
  };
  readonly postgres: {
    readonly dsn: Secret;
    readonly operationTimeoutMs: number;
    readonly maxOpenConns: number;
  };
  readonly userService: {
    /** Without a trailing slash, user, password, query and fragment. */
    readonly baseUrl: string;
    readonly timeoutMs: number;
    readonly maxConcurrency: number;
    /** 0: no cache. */
    readonly cacheTtlMs: number;
  };
  readonly intents: { readonly stream: string; readonly batchSize: number; readonly readBlockTimeoutMs: number };
  readonly publish: {
    readonly batchSize: number;
    readonly clientEventsStream: string;
    /** 0: never trimmed. */
    readonly clientEventsStreamMaxLen: number;
    readonly mailCommandsStream: string;
    readonly leaseTtlMs: number;
    readonly lostPublications: "republish" | "report";
  };
  readonly retry: {
    readonly pushMaxAttempts: number;
    readonly emailMaxAttempts: number;
    readonly backoffMinMs: number;
    readonly backoffMaxMs: number;
  };
  readonly retention: { readonly recordMs: number; readonly malformedMs: number; readonly intervalMs: number };
  readonly process: { readonly startupTimeoutMs: number; readonly shutdownTimeoutMs: number };
  /** An empty hostname is all interfaces. */
  readonly probe: { readonly hostname: string; readonly port: number };
  /** Addresses by notification type; a type without addresses has no entry. */
  readonly administratorEmails: ReadonlyMap<string, readonly string[]>;
  /** Undefined: the embedded catalog. */
  readonly catalogFile: string | undefined;
  /** Empty if not given. */
  readonly environment: string;
  readonly log: { readonly level: "debug" | "info" | "warn" | "error"; readonly format: "json" | "text" };
}

export type ConfigResult =
  | { readonly kind: "ok"; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly kind: "refused"; readonly problems: readonly string[]; readonly warnings: readonly string[] };

export interface CatalogFacts {
  /** Types with administrators as an audience; undefined: the catalog is broken, so no name can be held against it. */
  readonly administratorTypes: readonly string[] | undefined;
}

export function parseConfig(environment: Environment, { administratorTypes }: CatalogFacts): ConfigResult {
  const read = readValues(environment);
  const administrators = readAdministratorEmails(environment, administratorTypes);
  const warnings = [...unknownNames(environment, administratorTypes ?? []), ...administrators.warnings];
  const problems = [...read.problems, ...brokenRules(read.values), ...administrators.problems];
  if (problems.length > 0) return { kind: "refused", problems, warnings };
  // Without problems every variable has its value.
  return { kind: "ok", config: toConfig(read.values as Values, administrators.addresses), warnings };
}

function unknownNames(environment: Environment, administratorTypes: readonly string[]): string[] {
  const known = [
    ...variableList.flatMap(([name, { secret }]) => secret ? [name, fileForm(name)] : [name]).map((name) =>
      prefix + name
    ),
    ...administratorTypes.map(administratorEmailsName),
  ];
  const dealtWith = new Set([...known, ...Object.keys(deprecatedVariables).map((name) => prefix + name)]);
  return Object.keys(environment.variables)
    .filter((name) => !dealtWith.has(name) && !isAdministratorEmailsName(name))
    .map(shownName)
    .map((name) => `${name} is not a known variable; the nearest known name is ${nearestName(name, known)}`);
}

function toConfig(values: Values, administratorEmails: Config["administratorEmails"]): Config {
  return {
    redis: {
      ...values.REDIS_MASTER_ADDR,
      password: values.REDIS_PASSWORD,
      db: values.REDIS_DB,
      operationTimeoutMs: values.REDIS_OPERATION_TIMEOUT,
      waitReplicas: values.REDIS_WAIT_REPLICAS,
    },
    postgres: {
      dsn: values.POSTGRES_PRIMARY_DSN,
      operationTimeoutMs: values.POSTGRES_OPERATION_TIMEOUT,
      maxOpenConns: values.POSTGRES_MAX_OPEN_CONNS,
    },
    userService: {
      baseUrl: values.USER_SERVICE_BASE_URL,
      timeoutMs: values.USER_SERVICE_TIMEOUT,
      maxConcurrency: values.USER_SERVICE_MAX_CONCURRENCY,
      cacheTtlMs: values.USER_SERVICE_CACHE_TTL,
    },
    intents: {
      stream: values.INTENTS_STREAM,
      batchSize: values.INTENTS_BATCH_SIZE,
      readBlockTimeoutMs: values.INTENTS_READ_BLOCK_TIMEOUT,
    },
    publish: {
      batchSize: values.PUBLISH_BATCH_SIZE,
      clientEventsStream: values.GATEWAY_CLIENT_EVENTS_STREAM,
      clientEventsStreamMaxLen: values.GATEWAY_CLIENT_EVENTS_STREAM_MAX_LEN,
      mailCommandsStream: values.MAIL_DELIVERY_COMMANDS_STREAM,
      leaseTtlMs: values.ROUTE_LEASE_TTL,
      lostPublications: values.LOST_PUBLICATIONS,
    },
    retry: {
      pushMaxAttempts: values.PUSH_RETRY_MAX_ATTEMPTS,
      emailMaxAttempts: values.EMAIL_RETRY_MAX_ATTEMPTS,
      backoffMinMs: values.ROUTE_BACKOFF_MIN,
      backoffMaxMs: values.ROUTE_BACKOFF_MAX,
    },
    retention: {
      recordMs: values.RECORD_RETENTION,
      malformedMs: values.MALFORMED_INTENT_RETENTION,
      intervalMs: values.CLEANUP_INTERVAL,
    },
    process: { startupTimeoutMs: values.STARTUP_TIMEOUT, shutdownTimeoutMs: values.SHUTDOWN_TIMEOUT },
    probe: values.INTERNAL_HTTP_ADDR,
    administratorEmails,
    catalogFile: values.CATALOG_FILE === "" ? undefined : values.CATALOG_FILE,
    environment: values.ENVIRONMENT,
    log: { level: values.LOG_LEVEL, format: values.LOG_FORMAT },
  };
}
