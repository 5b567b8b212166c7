/** Environments → what parseConfig() returns: the typed sections, or one line for each kind of invalid environment. */
import assert from "node:assert/strict";
import { type ConfigResult, parseConfig } from "./config.ts";
import type { Environment } from "./env.ts";

const required = {
  NOTIFICATION_REDIS_MASTER_ADDR: "redis.internal:6379",
  NOTIFICATION_REDIS_PASSWORD: "hunter2",
  NOTIFICATION_POSTGRES_PRIMARY_DSN: "postgres://user:hunter2@db.internal/notification",
  NOTIFICATION_USER_SERVICE_BASE_URL: "http://users.internal:8080/",
};
const catalog = { administratorTypes: ["game.generation_failed"] };

function parse(variables: Record<string, string>, rest: Partial<Environment> = {}): ConfigResult {
  return parseConfig({ variables: { ...required, ...variables }, notUtf8: [], files: {}, ...rest }, catalog);
}

function problemsOf(result: ConfigResult): readonly string[] {
  return result.kind === "refused" ? result.problems : [];
}

/** The variables, without their prefix, that begin the problem lines. */
function blamed(variables: Record<string, string>, rest: Partial<Environment> = {}): string[] {
  return problemsOf(parse(variables, rest)).map((line) => /^NOTIFICATION_(\w+)/.exec(line)?.[1] ?? line);
}

Deno.test("parseConfig() fills in the defaults", () => {
  const result = parse({});
  assert.ok(result.kind === "ok");
  assert.deepEqual(result.warnings, []);
  assert.equal(result.config.redis.password.reveal(), "hunter2");
  assert.equal(result.config.postgres.dsn.reveal(), required.NOTIFICATION_POSTGRES_PRIMARY_DSN);
  assert.deepEqual(JSON.parse(JSON.stringify(result.config)), {
    redis: {
      host: "redis.internal",
      port: 6379,
      password: "[redacted]",
      db: 0,
      operationTimeoutMs: 2_000,
      waitReplicas: 0,
    },
    postgres: { dsn: "[redacted]", operationTimeoutMs: 5_000, maxOpenConns: 10 },
    userService: { baseUrl: "http://users.internal:8080", timeoutMs: 1_000, maxConcurrency: 32, cacheTtlMs: 5_000 },
    intents: { stream: "notification:intents", batchSize: 1_000, readBlockTimeoutMs: 2_000 },
    publish: {
      batchSize: 1_000,
      clientEventsStream: "gateway:client-events",
      clientEventsStreamMaxLen: 0,
      mailCommandsStream: "mail:delivery_commands",
      leaseTtlMs: 604_800_000,
      lostPublications: "republish",
    },
    retry: { pushMaxAttempts: 3, emailMaxAttempts: 7, backoffMinMs: 1_000, backoffMaxMs: 300_000 },
    retention: { recordMs: 2_592_000_000, malformedMs: 7_776_000_000, intervalMs: 3_600_000 },
    process: { startupTimeoutMs: 10_000, shutdownTimeoutMs: 5_000, catalogFile: "", environment: "" },
    probe: { hostname: "127.0.0.1", port: 8092 },
    administratorEmails: {},
    log: { level: "info", format: "json" },
  });
});

Deno.test("parseConfig() puts every variable in its place", () => {
  const result = parse({
    NOTIFICATION_REDIS_MASTER_ADDR: "[::1]:6380",
    NOTIFICATION_REDIS_DB: "1",
    NOTIFICATION_REDIS_OPERATION_TIMEOUT: "3ms",
    NOTIFICATION_REDIS_WAIT_REPLICAS: "2",
    NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "4ms",
    NOTIFICATION_POSTGRES_MAX_OPEN_CONNS: "5",
    NOTIFICATION_STARTUP_TIMEOUT: "6ms",
    NOTIFICATION_SHUTDOWN_TIMEOUT: "7ms",
    NOTIFICATION_INTERNAL_HTTP_ADDR: ":8",
    NOTIFICATION_INTENTS_STREAM: "nine",
    NOTIFICATION_INTENTS_BATCH_SIZE: "10",
    NOTIFICATION_INTENTS_READ_BLOCK_TIMEOUT: "11ms",
    NOTIFICATION_USER_SERVICE_TIMEOUT: "12ms",
    NOTIFICATION_USER_SERVICE_MAX_CONCURRENCY: "13",
    NOTIFICATION_USER_SERVICE_CACHE_TTL: "0s",
    NOTIFICATION_GATEWAY_CLIENT_EVENTS_STREAM: "fourteen",
    NOTIFICATION_GATEWAY_CLIENT_EVENTS_STREAM_MAX_LEN: "15",
    NOTIFICATION_MAIL_DELIVERY_COMMANDS_STREAM: "sixteen",
    NOTIFICATION_PUBLISH_BATCH_SIZE: "17",
    NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "18",
    NOTIFICATION_EMAIL_RETRY_MAX_ATTEMPTS: "19",
    NOTIFICATION_ROUTE_BACKOFF_MIN: "20ms",
    NOTIFICATION_ROUTE_BACKOFF_MAX: "21ms",
    NOTIFICATION_ROUTE_LEASE_TTL: "1h22ms",
    NOTIFICATION_RECORD_RETENTION: "23ms",
    NOTIFICATION_MALFORMED_INTENT_RETENTION: "24ms",
    NOTIFICATION_CLEANUP_INTERVAL: "25ms",
    NOTIFICATION_LOST_PUBLICATIONS: "report",
    NOTIFICATION_CATALOG_FILE: "/catalog.json",
    NOTIFICATION_ADMIN_EMAILS_GAME_GENERATION_FAILED: "Ops@example.com",
    NOTIFICATION_ENVIRONMENT: "production",
    NOTIFICATION_LOG_LEVEL: "debug",
    NOTIFICATION_LOG_FORMAT: "text",
  });
  assert.ok(result.kind === "ok", problemsOf(result).join("\n"));
  const { redis, postgres, administratorEmails, ...rest } = result.config;
  assert.deepEqual({ ...redis, password: 0 }, {
    host: "::1",
    port: 6380,
    password: 0,
    db: 1,
    operationTimeoutMs: 3,
    waitReplicas: 2,
  });
  assert.deepEqual({ ...postgres, dsn: 0 }, { dsn: 0, operationTimeoutMs: 4, maxOpenConns: 5 });
  assert.deepEqual(administratorEmails, new Map([["game.generation_failed", ["ops@example.com"]]]));
  assert.deepEqual(rest, {
    userService: { baseUrl: "http://users.internal:8080", timeoutMs: 12, maxConcurrency: 13, cacheTtlMs: 0 },
    intents: { stream: "nine", batchSize: 10, readBlockTimeoutMs: 11 },
    publish: {
      batchSize: 17,
      clientEventsStream: "fourteen",
      clientEventsStreamMaxLen: 15,
      mailCommandsStream: "sixteen",
      leaseTtlMs: 3_600_022,
      lostPublications: "report",
    },
    retry: { pushMaxAttempts: 18, emailMaxAttempts: 19, backoffMinMs: 20, backoffMaxMs: 21 },
    retention: { recordMs: 23, malformedMs: 24, intervalMs: 25 },
    process: { startupTimeoutMs: 6, shutdownTimeoutMs: 7, catalogFile: "/catalog.json", environment: "production" },
    probe: { hostname: "", port: 8 },
    log: { level: "debug", format: "text" },
  });
});

Deno.test("parseConfig() reports every problem at once", () => {
  const names = ["REDIS_MASTER_ADDR", "REDIS_PASSWORD", "POSTGRES_PRIMARY_DSN", "USER_SERVICE_BASE_URL"];
  const result = parseConfig({ variables: {}, notUtf8: [], files: {} }, { administratorTypes: undefined });
  assert.deepEqual(problemsOf(result).map((line) => line.split(" ")[0]), names.map((name) => `NOTIFICATION_${name}`));
  assert.deepEqual(
    blamed({
      NOTIFICATION_REDIS_TLS_ENABLED: "",
      NOTIFICATION_REDIS_MASTER_ADDR: "",
      NOTIFICATION_LOG_LEVEL: "loud",
      NOTIFICATION_ROUTE_BACKOFF_MIN: "10m",
      NOTIFICATION_ADMIN_EMAILS_NOBODY: "",
    }),
    ["REDIS_TLS_ENABLED", "REDIS_MASTER_ADDR", "LOG_LEVEL", "ROUTE_BACKOFF_MIN", "ADMIN_EMAILS_NOBODY"],
  );
});

Deno.test("parseConfig() refuses contradicting values, defaults included", () => {
  assert.deepEqual(blamed({ NOTIFICATION_INTENTS_STREAM: "mail:delivery_commands" }), ["INTENTS_STREAM"]);
  assert.deepEqual(blamed({ NOTIFICATION_POSTGRES_OPERATION_TIMEOUT: "6s" }), ["POSTGRES_OPERATION_TIMEOUT"]);
  assert.deepEqual(blamed({ NOTIFICATION_ROUTE_BACKOFF_MAX: "999ms" }), ["ROUTE_BACKOFF_MIN"]);
});

Deno.test("parseConfig() warns about unknown names with the nearest known one, never with the value", () => {
  const nearest: Record<string, string> = {
    REDIS_PASWORD: "REDIS_PASSWORD",
    REDIS_PASSWORD_FIL: "REDIS_PASSWORD_FILE",
    INTENT_STREAM: "INTENTS_STREAM",
    LOGLEVEL: "LOG_LEVEL",
    ADMIN_MAILS_GAME_GENERATION_FAILED: "ADMIN_EMAILS_GAME_GENERATION_FAILED",
  };
  for (const [name, known] of Object.entries(nearest)) {
    const result = parse({ [`NOTIFICATION_${name}`]: "hunter2" });
    assert.equal(result.kind, "ok");
    assert.deepEqual(result.warnings, [
      `NOTIFICATION_${name} is not a known variable; the nearest known name is NOTIFICATION_${known}`,
    ]);
  }
});

Deno.test("parseConfig() never suggests a deprecated variable", () => {
  for (const name of ["NOTIFICATION_REDIS_USERNAM", "NOTIFICATION_REDIS_TLS_ENABLE"]) {
    const { warnings } = parse({ [name]: "" });
    assert.equal(warnings.length, 1);
    assert.doesNotMatch(warnings.join(), /USERNAME|TLS_ENABLED/);
  }
});

Deno.test("parseConfig() also returns warnings if it refuses the configuration", () => {
  const { warnings } = parseConfig(
    { variables: { NOTIFICATION_X: "" }, notUtf8: [], files: {} },
    { administratorTypes: [] },
  );
  assert.equal(warnings.length, 1);
});

Deno.test("parseConfig() does not check administrator types if the catalog is invalid", () => {
  const variables = { ...required, NOTIFICATION_ADMIN_EMAILS_ANY: "a@b.c" };
  const environment = { variables, notUtf8: [], files: {} };
  assert.equal(parseConfig(environment, { administratorTypes: undefined }).kind, "ok");
  assert.equal(parseConfig(environment, { administratorTypes: [] }).kind, "refused");
});
