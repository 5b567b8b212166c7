/** The table matches the contract: the same names, order and defaults; each default is of its variable's form. */
import assert from "node:assert/strict";
import { variableList } from "./variables.ts";

const contract = `
REDIS_MASTER_ADDR required
REDIS_PASSWORD required
REDIS_DB 0
REDIS_OPERATION_TIMEOUT 2s
REDIS_WAIT_REPLICAS 0
POSTGRES_PRIMARY_DSN required
POSTGRES_OPERATION_TIMEOUT 5s
POSTGRES_MAX_OPEN_CONNS 10
STARTUP_TIMEOUT 10s
SHUTDOWN_TIMEOUT 5s
INTERNAL_HTTP_ADDR 127.0.0.1:8092
INTENTS_STREAM notification:intents
INTENTS_BATCH_SIZE 1000
INTENTS_READ_BLOCK_TIMEOUT 2s
USER_SERVICE_BASE_URL required
USER_SERVICE_TIMEOUT 1s
USER_SERVICE_MAX_CONCURRENCY 32
USER_SERVICE_CACHE_TTL 5s
GATEWAY_CLIENT_EVENTS_STREAM gateway:client-events
GATEWAY_CLIENT_EVENTS_STREAM_MAX_LEN 0
MAIL_DELIVERY_COMMANDS_STREAM mail:delivery_commands
PUBLISH_BATCH_SIZE 1000
PUSH_RETRY_MAX_ATTEMPTS 3
EMAIL_RETRY_MAX_ATTEMPTS 7
ROUTE_BACKOFF_MIN 1s
ROUTE_BACKOFF_MAX 5m
ROUTE_LEASE_TTL 168h
RECORD_RETENTION 720h
MALFORMED_INTENT_RETENTION 2160h
CLEANUP_INTERVAL 1h
LOST_PUBLICATIONS republish
CATALOG_FILE
ENVIRONMENT
LOG_LEVEL info
LOG_FORMAT json
`;

Deno.test("variables are those of the contract, with its defaults", () => {
  const table = variableList.map(([name, row]) => `${name} ${row.required ? "required" : row.default}`.trim());
  assert.deepEqual(table, contract.trim().split("\n"));
});

Deno.test("each default is of its variable's form, and each variable has a meaning", () => {
  for (const [name, row] of variableList) {
    if (!row.required) assert.notEqual(row.form.parse(row.default), undefined, name);
    assert.ok(row.meaning !== "" && row.form.expected !== "", name);
    assert.doesNotMatch(row.meaning + row.form.expected, /\n/, name);
  }
});

Deno.test("no two variables have the same place, and the names of times end with their unit", () => {
  const places = variableList.map(([, { place }]) => place);
  assert.equal(new Set(places).size, places.length);
  for (const [name, { place, form }] of variableList) {
    if (place.includes(".")) assert.equal(place.endsWith("Ms"), form.expected.startsWith("a duration"), name);
  }
});
