/**
 * readValues() by example: every way in which one variable, or the file it names, can be wrong, and what is said then.
 */
import assert from "node:assert/strict";
import type { Environment, FileContent } from "./env.ts";
import { type ReadValues, readValues } from "./values.ts";

const required = {
  NOTIFICATION_REDIS_MASTER_ADDR: "redis.internal:6379",
  NOTIFICATION_REDIS_PASSWORD: "hunter2",
  NOTIFICATION_POSTGRES_PRIMARY_DSN: "postgres://user:hunter2@db.internal/notification",
  NOTIFICATION_USER_SERVICE_BASE_URL: "http://users.internal:8080/",
};

function read(variables: Record<string, string>, rest: Partial<Environment> = {}): ReadValues {
  return readValues({ variables: { ...required, ...variables }, notUtf8: [], files: {}, ...rest });
}

function problemsOf(variables: Record<string, string>, rest: Partial<Environment> = {}): readonly string[] {
  return read(variables, rest).problems;
}

Deno.test("readValues() refuses values that are not of their variable's form", () => {
  const bad: Record<string, readonly string[]> = {
    REDIS_MASTER_ADDR: ["redis", "redis:0", "::1:6379", "redis://redis:6379"],
    REDIS_DB: ["-1", "1.0", "0x1", "1e1", " 1", "01", "65536", "x", "٣", "99999999999999999999"],
    REDIS_OPERATION_TIMEOUT: ["0s", "0", "5", "-1s", "597h", "1ns"],
    REDIS_WAIT_REPLICAS: ["-1", "101"],
    POSTGRES_PRIMARY_DSN: ["x", "mysql://db/x", "postgres:///x", "postgres://u:p@:x/"],
    POSTGRES_OPERATION_TIMEOUT: ["0s"],
    POSTGRES_MAX_OPEN_CONNS: ["0", "3", "1001"],
    STARTUP_TIMEOUT: ["0s", "597h"],
    SHUTDOWN_TIMEOUT: ["0s", "597h"],
    INTERNAL_HTTP_ADDR: ["8092", "x:y", "127.0.0.1:65536"],
    INTENTS_STREAM: ["a b", "a\n", "\t", "x".repeat(257)],
    INTENTS_BATCH_SIZE: ["0", "10001"],
    INTENTS_READ_BLOCK_TIMEOUT: ["0s", "597h"],
    USER_SERVICE_BASE_URL: ["users", "ftp://users", "http://u:p@users", "http://users?x", "http://users#x"],
    USER_SERVICE_TIMEOUT: ["0s"],
    USER_SERVICE_MAX_CONCURRENCY: ["0", "1001"],
    USER_SERVICE_CACHE_TTL: ["-1s", "597h"],
    GATEWAY_CLIENT_EVENTS_STREAM: [" "],
    GATEWAY_CLIENT_EVENTS_STREAM_MAX_LEN: ["-1", "1000000000001"],
    MAIL_DELIVERY_COMMANDS_STREAM: [" "],
    PUBLISH_BATCH_SIZE: ["0", "10001"],
    PUSH_RETRY_MAX_ATTEMPTS: ["0", "1001"],
    EMAIL_RETRY_MAX_ATTEMPTS: ["0", "1001"],
    ROUTE_BACKOFF_MIN: ["0s"],
    ROUTE_BACKOFF_MAX: ["0s", "597h"],
    ROUTE_LEASE_TTL: ["59m59s", "876001h"],
    RECORD_RETENTION: ["0s", "876001h"],
    MALFORMED_INTENT_RETENTION: ["0s", "876001h"],
    CLEANUP_INTERVAL: ["0s", "597h"],
    LOST_PUBLICATIONS: ["Republish", "none", "report\r"],
    CATALOG_FILE: ["a\nb", "a\u2028b"],
    ENVIRONMENT: ["production ", "a\nb", "x".repeat(257)],
    LOG_LEVEL: ["INFO", "trace", "info\r"],
    LOG_FORMAT: ["xml"],
  };
  for (const [name, texts] of Object.entries(bad)) {
    for (const text of texts) {
      const lines = problemsOf({ [`NOTIFICATION_${name}`]: text });
      assert.equal(lines.length, 1, `${name} ${text} ${lines.join()}`);
      assert.ok(lines[0]?.startsWith(`NOTIFICATION_${name} should be `), lines[0] ?? "nothing");
      assert.doesNotMatch(lines.join(""), /[\r\n\u2028\u2029]/);
    }
  }
});

Deno.test("readValues() describes the expected form, and mentions white space at the ends", () => {
  assert.deepEqual(problemsOf({ NOTIFICATION_PUBLISH_BATCH_SIZE: "500\r" }), [
    "NOTIFICATION_PUBLISH_BATCH_SIZE should be a decimal integer from 1 to 10000 (there is white space at its start or end)",
  ]);
  assert.deepEqual(problemsOf({ NOTIFICATION_ROUTE_LEASE_TTL: "1m" }), [
    "NOTIFICATION_ROUTE_LEASE_TTL should be a duration from 1h to 876000h in whole milliseconds, such as 250ms, 5s or 1h30m",
  ]);
});

Deno.test("readValues() treats an empty variable as not set", () => {
  assert.deepEqual(
    problemsOf({ NOTIFICATION_REDIS_DB: "", NOTIFICATION_INTENTS_STREAM: "", NOTIFICATION_LOG_LEVEL: "" }),
    [],
  );
  for (const name of Object.keys(required)) {
    const lines = problemsOf({ [name]: "" });
    assert.equal(lines.length, 1);
    assert.ok(lines[0]?.startsWith(`${name} is required and should be `), lines[0] ?? "nothing");
  }
});

Deno.test("readValues() refuses deprecated variables, even empty", () => {
  for (const name of ["REDIS_USERNAME", "REDIS_TLS_ENABLED"]) {
    for (const text of ["", "false"]) {
      const lines = problemsOf({ [`NOTIFICATION_${name}`]: text });
      assert.match(lines.join("\n"), new RegExp(`^NOTIFICATION_${name} is deprecated .*$`));
    }
    assert.equal(problemsOf({}, { notUtf8: [`NOTIFICATION_${name}`] }).length, 1);
  }
});

Deno.test("readValues() reads a secret from a file, without one trailing newline", () => {
  const contents: Record<string, string> = {
    "p": "p",
    "p\n": "p",
    "p\r\n": "p",
    "p\n\n": "p\n",
    "\n p": "\n p",
    " ": " ",
  };
  for (const [text, password] of Object.entries(contents)) {
    const result = read({ NOTIFICATION_REDIS_PASSWORD: "", NOTIFICATION_REDIS_PASSWORD_FILE: "/run/p" }, {
      files: { NOTIFICATION_REDIS_PASSWORD_FILE: { kind: "read", text } },
    });
    assert.deepEqual(result.problems, []);
    assert.equal(result.values.REDIS_PASSWORD?.reveal(), password);
  }
  const dsn = read({ NOTIFICATION_POSTGRES_PRIMARY_DSN: "", NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE: "/run/d" }, {
    files: { NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE: { kind: "read", text: "postgres://u:p@db/x\n" } },
  });
  assert.deepEqual(dsn.problems, []);
  assert.equal(dsn.values.POSTGRES_PRIMARY_DSN?.reveal(), "postgres://u:p@db/x");
});

Deno.test("a secret from a file can be read again, and stays unchanged while the file contains none", () => {
  let held: FileContent = { kind: "read", text: "postgres://u:first@db/x\n" };
  const name = "NOTIFICATION_POSTGRES_PRIMARY_DSN";
  const { values, problems } = read({ [name]: "", [`${name}_FILE`]: "/run/dsn" }, {
    files: { [`${name}_FILE`]: held },
    readFile: (path) => path === "/run/dsn" ? held : { kind: "unreadable", reason: "is another file" },
  });
  assert.deepEqual(problems, []);
  const dsn = values.POSTGRES_PRIMARY_DSN!;
  const readAgain = () => {
    dsn.readAgain();
    return dsn.reveal();
  };
  assert.equal(dsn.reveal(), "postgres://u:first@db/x");
  held = { kind: "read", text: "postgres://u:second@db/x\r\n" };
  assert.equal(readAgain(), "postgres://u:second@db/x");
  held = { kind: "unreadable", reason: "does not exist" };
  assert.equal(readAgain(), "postgres://u:second@db/x");
  held = { kind: "read", text: "half-written" };
  assert.equal(readAgain(), "postgres://u:second@db/x");
});

Deno.test("readValues() refuses a secret file with unusable content, without repeating it", () => {
  const variables = { NOTIFICATION_POSTGRES_PRIMARY_DSN: "", NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE: "/run/d" };
  for (const text of ["", "\n", "hunter2", "postgres://u:hunter2@db/x\n\n", "postgres://u:hunter2@:x/"]) {
    const lines = problemsOf(variables, { files: { NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE: { kind: "read", text } } });
    assert.equal(lines.length, 1);
    assert.match(
      lines[0] ?? "",
      /^NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE should name a file whose content is a postgres/,
    );
    assert.ok(!lines[0]?.includes("hunter2"));
  }
  const password = { NOTIFICATION_REDIS_PASSWORD: "", NOTIFICATION_REDIS_PASSWORD_FILE: "/run/p" };
  assert.deepEqual(
    problemsOf(password, { files: { NOTIFICATION_REDIS_PASSWORD_FILE: { kind: "read", text: "\n" } } }),
    ["NOTIFICATION_REDIS_PASSWORD_FILE should name a file whose content is a password that is not empty"],
  );
});

Deno.test("readValues() refuses both forms of a secret at once", () => {
  for (const name of ["NOTIFICATION_REDIS_PASSWORD", "NOTIFICATION_POSTGRES_PRIMARY_DSN"]) {
    const files = { [`${name}_FILE`]: { kind: "read", text: "x" } as const };
    assert.deepEqual(problemsOf({ [`${name}_FILE`]: "/run/x" }, { files }), [
      `${name} and ${name}_FILE should not both be set: keep one of them`,
    ]);
    assert.deepEqual(problemsOf({ [`${name}_FILE`]: "" }), []);
  }
});

Deno.test("readValues() names an unreadable file, unless it may be the secret itself", () => {
  const refusal = (name: string, path: string) =>
    problemsOf({ NOTIFICATION_REDIS_PASSWORD: "", [`NOTIFICATION_${name}`]: path }, {
      files: { [`NOTIFICATION_${name}`]: { kind: "unreadable", reason: "does not exist" } },
    }).find((line) => line.includes("should name"));
  const start = "NOTIFICATION_REDIS_PASSWORD_FILE should name a readable file, but";
  assert.equal(refusal("REDIS_PASSWORD_FILE", "/run/p"), `${start} "/run/p" does not exist`);
  assert.equal(refusal("REDIS_PASSWORD_FILE", "./p"), `${start} "./p" does not exist`);
  assert.equal(refusal("REDIS_PASSWORD_FILE", "hunter2"), `${start} the file does not exist`);
  assert.equal(refusal("REDIS_PASSWORD_FILE", "/a\nb"), `${start} the file does not exist`);
  assert.equal(
    refusal("CATALOG_FILE", "catalog.json"),
    `NOTIFICATION_CATALOG_FILE should name a readable file, but "catalog.json" does not exist`,
  );
});

Deno.test("readValues() refuses bytes that are not UTF-8 instead of taking the default", () => {
  assert.deepEqual(problemsOf({}, { notUtf8: ["NOTIFICATION_INTENTS_STREAM"] }), [
    "NOTIFICATION_INTENTS_STREAM should be UTF-8 text",
  ]);
  assert.deepEqual(problemsOf({ NOTIFICATION_REDIS_PASSWORD: "" }, { notUtf8: ["NOTIFICATION_REDIS_PASSWORD_FILE"] }), [
    "NOTIFICATION_REDIS_PASSWORD_FILE should be UTF-8 text",
  ]);
});
