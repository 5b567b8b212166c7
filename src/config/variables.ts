/**
 * The table of all configuration variables: name, place in the configuration, form, default, meaning. The typed
 * sections, all messages, the reference page and the environment file are made from it: a variable that is not here
 * does not exist.
 *
 * Names are without their prefix NOTIFICATION_. A test checks that every default is of its variable's form.
 */
import {
  baseUrl,
  duration,
  filePath,
  type Form,
  hostPort,
  integer,
  label,
  listenAddress,
  oneOf,
  password,
  postgresUrl,
  streamName,
} from "./forms.ts";

export const prefix = "NOTIFICATION_";

export type Variable<T = unknown> = {
  /** `section.field`, or only the section if the value's members are fields of it. Names of times end in Ms. */
  readonly place: string;
  readonly form: Form<T>;
  readonly meaning: string;
  /** A secret, which may also be the content of the file that `<name>_FILE` names, without one trailing newline. */
  readonly secret?: true;
  /** The value is the path of a file that is read at start-up. */
  readonly namesFile?: true;
} & ({ readonly required: true } | { readonly default: string; readonly required?: never });

const logLevels = ["debug", "info", "warn", "error"] as const;
const logFormats = ["json", "text"] as const;

// 2^31-1 ms is 596h31m23.647s: setTimeout fires at once above it, and PostgreSQL's time-outs can't be longer.
const maxTimer = "596h";
const timer = duration("1ms", maxTimer);
// A hundred years: today minus this age is still a valid timestamp.
const maxAge = "876000h";
const age = duration("1ms", maxAge);
// A batch is also bounded in bytes and recipients; larger batches than this are no faster.
const batch = integer(1, 10_000);
// The retry ladder's 2^(n-1) stays a finite number.
const attempts = integer(1, 1_000);

export const variables = {
  REDIS_MASTER_ADDR: { place: "redis", form: hostPort, required: true, meaning: "Address of the Redis master" },
  REDIS_PASSWORD: {
    place: "redis.password",
    form: password,
    required: true,
    secret: true,
    meaning: "Password of the Redis connection",
  },
  REDIS_DB: { place: "redis.db", form: integer(0, 65_535), default: "0", meaning: "Logical database of Redis" },
  REDIS_OPERATION_TIMEOUT: {
    place: "redis.operationTimeoutMs",
    form: timer,
    default: "2s",
    meaning: "Bound of one Redis command",
  },
  REDIS_WAIT_REPLICAS: {
    place: "redis.waitReplicas",
    form: integer(0, 100),
    default: "0",
    meaning: "Replicas that must acknowledge a batch (WAIT) before its routes count as published",
  },
  POSTGRES_PRIMARY_DSN: {
    place: "postgres.dsn",
    form: postgresUrl,
    required: true,
    secret: true,
    meaning: "URL of PostgreSQL itself or of a session pool (not a transaction pool)",
  },
  POSTGRES_OPERATION_TIMEOUT: {
    place: "postgres.operationTimeoutMs",
    form: timer,
    default: "5s",
    meaning: "Bound of one SQL statement, on both sides",
  },
  POSTGRES_MAX_OPEN_CONNS: {
    place: "postgres.maxOpenConns",
    form: integer(4, 1_000),
    default: "10",
    meaning: "Size of the connection pool",
  },
  STARTUP_TIMEOUT: {
    place: "process.startupTimeoutMs",
    form: timer,
    default: "10s",
    meaning: "Bound of each start-up dependency check",
  },
  SHUTDOWN_TIMEOUT: {
    place: "process.shutdownTimeoutMs",
    form: timer,
    default: "5s",
    meaning: "Bound of the whole coordinated shutdown",
  },
  INTERNAL_HTTP_ADDR: {
    place: "probe",
    form: listenAddress,
    default: "127.0.0.1:8092",
    meaning: "Address of the probe listener; :8092 means all interfaces",
  },
  INTENTS_STREAM: {
    place: "intents.stream",
    form: streamName,
    default: "notification:intents",
    meaning: "Inbound stream",
  },
  INTENTS_BATCH_SIZE: {
    place: "intents.batchSize",
    form: batch,
    default: "1000",
    meaning: "Largest number of entries that are read and accepted together",
  },
  INTENTS_READ_BLOCK_TIMEOUT: {
    place: "intents.readBlockTimeoutMs",
    form: timer,
    default: "2s",
    meaning: "How long one blocking read waits",
  },
  USER_SERVICE_BASE_URL: {
    place: "userService.baseUrl",
    form: baseUrl,
    required: true,
    meaning: "Base of the User Service",
  },
  USER_SERVICE_TIMEOUT: { place: "userService.timeoutMs", form: timer, default: "1s", meaning: "Bound of one look-up" },
  USER_SERVICE_MAX_CONCURRENCY: {
    place: "userService.maxConcurrency",
    form: integer(1, 1_000),
    default: "32",
    meaning: "Look-ups in flight",
  },
  USER_SERVICE_CACHE_TTL: {
    place: "userService.cacheTtlMs",
    form: duration("0s", maxTimer),
    default: "5s",
    meaning: "How long a found user may be reused; 0s turns the cache off",
  },
  GATEWAY_CLIENT_EVENTS_STREAM: {
    place: "publish.clientEventsStream",
    form: streamName,
    default: "gateway:client-events",
    meaning: "Outbound push stream",
  },
  GATEWAY_CLIENT_EVENTS_STREAM_MAX_LEN: {
    place: "publish.clientEventsStreamMaxLen",
    form: integer(0, 1_000_000_000_000),
    default: "0",
    meaning: "Approximate MAXLEN of the push stream; 0 never trims",
  },
  MAIL_DELIVERY_COMMANDS_STREAM: {
    place: "publish.mailCommandsStream",
    form: streamName,
    default: "mail:delivery_commands",
    meaning: "Outbound mail stream; never trimmed by this service",
  },
  PUBLISH_BATCH_SIZE: {
    place: "publish.batchSize",
    form: batch,
    default: "1000",
    meaning: "Largest number of routes that are published together",
  },
  PUSH_RETRY_MAX_ATTEMPTS: {
    place: "retry.pushMaxAttempts",
    form: attempts,
    default: "3",
    meaning: "Attempts of a push route before it becomes a dead letter",
  },
  EMAIL_RETRY_MAX_ATTEMPTS: {
    place: "retry.emailMaxAttempts",
    form: attempts,
    default: "7",
    meaning: "Attempts of an e-mail route before it becomes a dead letter",
  },
  ROUTE_BACKOFF_MIN: {
    place: "retry.backoffMinMs",
    form: timer,
    default: "1s",
    meaning: "Delay after a route's first failed attempt; doubled after each further one",
  },
  ROUTE_BACKOFF_MAX: {
    place: "retry.backoffMaxMs",
    form: timer,
    default: "5m",
    meaning: "Longest delay between two attempts of a route",
  },
  ROUTE_LEASE_TTL: {
    place: "publish.leaseTtlMs",
    form: duration("1h", maxAge),
    default: "168h",
    meaning: "Life of a lease (route_leases:*) that was not released: a shorter outage causes no repeated publication",
  },
  RECORD_RETENTION: {
    place: "retention.recordMs",
    form: age,
    default: "720h",
    meaning:
      "Age at which a record is deleted, with its routes and dead letters; one with a pending or failed route is kept",
  },
  MALFORMED_INTENT_RETENTION: {
    place: "retention.malformedMs",
    form: age,
    default: "2160h",
    meaning: "Age at which a malformed intent is deleted",
  },
  CLEANUP_INTERVAL: {
    place: "retention.intervalMs",
    form: timer,
    default: "1h",
    meaning: "Pause between two cleaning runs",
  },
  LOST_PUBLICATIONS: {
    place: "publish.lostPublications",
    form: oneOf(["republish", "report"] as const),
    default: "republish",
    meaning: "What happens to published entries that Redis lost: they are published again, or only counted",
  },
  CATALOG_FILE: {
    place: "process.catalogFile",
    form: filePath,
    default: "",
    namesFile: true,
    meaning: "JSON catalog that replaces the embedded one",
  },
  ENVIRONMENT: {
    place: "process.environment",
    form: label,
    default: "",
    meaning: "Free name, in telemetry as deployment.environment.name; production makes smoke ask for --yes",
  },
  LOG_LEVEL: { place: "log.level", form: oneOf(logLevels), default: "info", meaning: "Lowest level that is logged" },
  LOG_FORMAT: {
    place: "log.format",
    form: oneOf(logFormats),
    default: "json",
    meaning: "json (one object a line) or text (for people)",
  },
} as const satisfies Readonly<Record<string, Variable>>;

export type VariableName = keyof typeof variables;

/** The parsed value of each variable. */
export type Values = {
  readonly [N in VariableName]: typeof variables[N]["form"] extends Form<infer T> ? T : never;
};

type PlaceOf<N extends VariableName> = typeof variables[N]["place"];
type SectionName = PlaceOf<VariableName> extends infer P ? P extends `${infer S}.${string}` ? S : P : never;
type FieldsOf<S extends SectionName> = {
  readonly [N in VariableName as PlaceOf<N> extends `${S}.${infer F}` ? F : never]: Values[N];
};
/** The variable whose value's members are fields of the section. */
type SpreadIn<S extends SectionName> = { [N in VariableName]: PlaceOf<N> extends S ? N : never }[VariableName];

/** The same values by section and field. */
export type Sections = {
  readonly [S in SectionName]: [SpreadIn<S>] extends [never] ? FieldsOf<S> : FieldsOf<S> & Values[SpreadIn<S>];
};

/** The table's rows, in its order. */
export const variableList: readonly (readonly [VariableName, Variable])[] = Object.entries(variables) as [
  VariableName,
  Variable,
][];

/** The family of variables with one member for each notification type that has administrators as an audience. */
export const administratorEmails = {
  stem: "ADMIN_EMAILS_",
  name: "ADMIN_EMAILS_<TYPE>",
  default: "",
  expected: "comma-separated e-mail addresses, each one plain address without display name and white space",
  meaning: "Administrators who get mail of a notification type; <TYPE> is the type in upper case with . : and - as _",
} as const;

/** Refused if they are defined, even if empty: an operator who sets them expects an effect that they do not have. */
export const deprecatedVariables = {
  REDIS_USERNAME: "the service logs in with the password alone",
  REDIS_TLS_ENABLED: "the service does not encrypt its Redis connection",
} as const;

/** The name of the variable that holds the path of a secret's file. */
export const fileForm = (name: string): string => `${name}_FILE`;
