/**
 * What a call to pg rejects with, for every way in which a socket, TLS or name resolution can fail on the supported
 * versions of Deno, while connecting and in the middle of a statement; and the names of prepared statements.
 */
import assert from "node:assert/strict";
import os from "node:os";
// @ts-types="@types/pg"
import pg from "pg";
import { FakePostgresSocket } from "../../tests/support/fake_postgres.ts";
import { PostgresConnectionError, postgresFailure } from "./failures.ts";
import { openPool, type PostgresPool } from "./pool.ts";

function coded(code: string): Error {
  return Object.assign(new Error(`connect ${code} 127.0.0.1:5432`), { code });
}

/** Every errno of this machine, and the other codes of Deno and its name resolution. */
const CODES = [
  ...Object.keys(os.constants.errno),
  ...["UNKNOWN", "ENOTFOUND", "EAI_AGAIN", "EAI_FAIL", "EAI_MEMORY", "EAI_NODATA", "EAI_SERVICE", "EAI_SYSTEM"],
  ...[
    "CERT_HAS_EXPIRED",
    "DEPTH_ZERO_SELF_SIGNED_CERT",
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "ERR_SSL_WRONG_VERSION_NUMBER",
  ],
  ...["ERR_SOCKET_CLOSED", "ERR_STREAM_DESTROYED", "ERR_STREAM_PREMATURE_CLOSE", "ABORT_ERR"],
];

const FAILURES: readonly (() => Error)[] = [
  ...CODES.map((code) => () => coded(code)),
  // A TLS handshake in Deno: no code at all.
  () => new Deno.errors.InvalidData("invalid peer certificate: UnknownIssuer"),
  () => new Deno.errors.InvalidData("invalid peer certificate: certificate expired"),
  () => new Deno.errors.UnexpectedEof("peer closed connection without sending TLS close_notify"),
  () => new Deno.errors.BadResource("Bad resource ID"),
  () => new Deno.errors.Interrupted("operation canceled"),
  () => new AggregateError([coded("ECONNREFUSED"), coded("ENETUNREACH")], ""),
  // Errors of the runtime itself in a socket that is being closed.
  () => new TypeError("Cannot read properties of null (reading 'readStop')"),
];

function openFakePool(makeSocket: () => FakePostgresSocket): PostgresPool {
  const pool = openPool({
    dsn: { reveal: () => "postgres://user:hunter2@127.0.0.1/db" },
    operationTimeoutMs: 5_000,
    maxOpenConns: 4,
    applicationName: "test",
  });
  Object.assign(pool.options, { stream: makeSocket });
  return pool;
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const error = await promise.then(() => undefined, (error: unknown) => error);
  assert.ok(error instanceof Error, "it did not fail");
  return error;
}

Deno.test("any failure while connecting rejects with a PostgresConnectionError", async () => {
  for (const make of FAILURES) {
    const cause = make();
    const pool = openFakePool(() => new FakePostgresSocket({ connectFails: cause }));
    for (const error of [await failureOf(pool.connect()), await failureOf(pool.query("SELECT 1"))]) {
      assert.ok(error instanceof PostgresConnectionError, String(cause));
      assert.equal(error.cause, cause);
      assert.equal(postgresFailure(error), "outage");
    }
    await pool.close(0);
  }
});

Deno.test("any failure of a connection rejects each statement on it with a PostgresConnectionError", async () => {
  for (const make of FAILURES) {
    const cause = make();
    const socket = new FakePostgresSocket();
    const pool = openFakePool(() => socket);
    const client = await pool.connect();
    socket.isMute = true;
    const statements = [client.query("SELECT 1"), client.query({ name: "two", text: "SELECT 2" })].map(failureOf);
    socket.destroy(cause);
    for (const error of await Promise.all(statements)) {
      assert.ok(error instanceof PostgresConnectionError, String(cause));
      assert.equal(postgresFailure(error), "outage");
    }
    assert.ok(await failureOf(client.query("SELECT 3")) instanceof PostgresConnectionError);
    client.release(true);
    await pool.close(0);
  }
});

Deno.test("an answer of PostgreSQL while connecting is about the connection, whatever its code", async () => {
  const startFails = { S: "FATAL", C: "22023", M: "invalid value for a parameter" };
  const pool = openFakePool(() => new FakePostgresSocket({ startFails }));
  const error = await failureOf(pool.connect());
  assert.ok(error instanceof PostgresConnectionError && error.cause instanceof pg.DatabaseError);
  assert.equal(error.code, "22023");
  assert.equal(postgresFailure(error), "outage");
  await pool.close(0);
});

Deno.test("an exception of JavaScript's own stays a defect", async () => {
  const pool = openFakePool(() => new FakePostgresSocket());
  const client = await pool.connect();
  const circular: unknown[] = [];
  circular.push({ circular });
  for (const statement of [() => client.query(undefined as never), () => client.query("SELECT $1", [{ circular }])]) {
    const error = await failureOf((async () => await statement())());
    assert.ok(error instanceof TypeError, String(error));
    assert.equal(postgresFailure(error), undefined);
  }
  client.release();
  await pool.close(0);
});

Deno.test("a prepared statement has a name that is unique to its connection, and the same each time", async () => {
  const sockets: FakePostgresSocket[] = [];
  const pool = openFakePool(() => {
    const socket = new FakePostgresSocket();
    sockets.push(socket);
    return socket;
  });
  for (let connections = 0; connections < 2; connections++) {
    const client = await pool.connect();
    for (let times = 0; times < 2; times++) await client.query({ name: "find_it", text: "SELECT 1" });
    client.release(true);
  }
  await pool.close(0);
  const names = sockets.map(({ sent }) => sent.match(/find_it_[0-9a-f]{12}/g) ?? []);
  // Once to prepare it, twice to bind it.
  assert.deepEqual(names.map((own) => [own.length, new Set(own).size]), [[3, 1], [3, 1]]);
  assert.notEqual(names[0]![0], names[1]![0]);
});
