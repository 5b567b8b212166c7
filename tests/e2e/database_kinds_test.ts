/**
 * Databases of every encoding, collation and language of messages: the service works on it, or the start is refused
 * with one line (docs/contract.md, section 4).
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname } from "node:path";
// @ts-types="@types/pg"
import pg from "pg";
import { findBinaries } from "../../scripts/servers/binaries.ts";
import { startPostgres } from "../../scripts/servers/postgres.ts";
import { testPostgres } from "../support/environment.ts";
import { outcomeOf } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";

for (const encoding of ["LATIN1", "SQL_ASCII", "EUC_JP"]) {
  Deno.test(`a database in ${encoding} is refused with one line`, async () => {
    await using rig = await openRig({
      database: `TEMPLATE template0 ENCODING '${encoding}' LC_COLLATE 'C' LC_CTYPE 'C'`,
    });
    const service = await rig.spawn();
    assert.equal(await service.exit(), 69, service.output());
    const problems = service.logs.filter(({ level }) => level === "error" || level === "warn")
      .filter(({ reason, message }) => /postgres|UTF8/i.test(`${message} ${reason}`));
    assert.deepEqual(problems.map(({ reason }) => reason), [
      `The database must be encoded in UTF8, it is in ${encoding}`,
    ]);
    assert.equal(service.stderr, "");
  });
}

Deno.test("collations of every provider make no difference", async (test) => {
  for (const [name, properties] of await collations()) {
    await test.step(name, async () => {
      await using rig = await openRig({ database: `TEMPLATE template0 ENCODING 'UTF8' ${properties}` });
      await rig.start();
      await deliversAndRefuses(rig);
    });
  }
});

const ANOTHER_LANGUAGE = "a server that speaks another language is understood";
// Debian's server has German messages; those that are downloaded from npm have only English ones.
const { german, isThere } = await germanMessages();

Deno.test({
  name: isThere ? ANOTHER_LANGUAGE : `${ANOTHER_LANGUAGE} NOT RUN: no ${german}`,
  ignore: !isThere,
}, async () => {
  // An operating system without German usually has C.UTF-8, with which LANGUAGE is used.
  await using postgres = await startPostgres({ settings: { lc_messages: "C.UTF-8" }, env: { LANGUAGE: "de" } });
  assert.deepEqual(await messages(postgres.dsn, "SELECT 1 / 0"), ["Division durch Null"]);

  await using rig = await openRig({ postgresServer: postgres });
  const service = await rig.start();
  await deliversAndRefuses(rig);

  // Data that PostgreSQL refuses is the entry's fault, not an outage.
  await rig.query("ALTER TABLE notification.records ADD CHECK (idempotency_key <> 'forbidden')");
  const forbidden = await rig.addIntent({ idempotency_key: "forbidden" });
  const allowed = await rig.addIntent();
  await rig.settled();
  assert.equal((await outcomeOf(rig, forbidden)).malformed?.failure_code, "invalid_fields");
  assert.equal((await outcomeOf(rig, allowed)).malformed, undefined);

  // Sessions that are ended, and a server that shuts down and starts up, are outages.
  await rig.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'notification%'");
  await deliversAndRefuses(rig);
  await postgres.stop("fast");
  await service.waitForLog(({ level, message }) => level === "warn" && /unavailable|outage|away/.test(message));
  await postgres.start();
  await deliversAndRefuses(rig);
  assert.equal((await service.terminate()).code, 0);

  const wrong = Object.assign(new URL(rig.dsn), { password: "wrong" }).href;
  const refused = await rig.spawn({ NOTIFICATION_POSTGRES_PRIMARY_DSN: wrong });
  assert.equal(await refused.exit(), 69, refused.output());
  assert.match(refused.output(), /28P01/);
});

/** One intent delivered, the same again a duplicate, another under its key refused, a malformed one recorded. */
async function deliversAndRefuses(rig: Rig): Promise<void> {
  rig.users.users.set("ıI-İi", { email: "i@example.com", preferred_language: "tr" });
  const intent = { idempotency_key: `ıI-${crypto.randomUUID()}`, recipient_user_ids_json: '["ıI-İi"]' };
  const first = await rig.addIntent(intent);
  const same = await rig.addIntent(intent);
  const other = await rig.addIntent({ ...intent, recipient_user_ids_json: '["user-1"]' });
  // For collations other than C, this key may be equal or similar to the first one.
  const upper = await rig.addIntent({ ...intent, idempotency_key: intent.idempotency_key.toUpperCase() });
  const malformed = await rig.addIntent({ producer: "nul\0" });
  await rig.settled();
  const outcomes = await Promise.all([first, upper].map((entryId) => outcomeOf(rig, entryId)));
  for (const { record, routes, clientEvents, mailCommands } of outcomes) {
    assert.notEqual(record, undefined);
    assert.deepEqual(routes.map(({ status }) => status), ["published", "published"]);
    assert.deepEqual([clientEvents.length, mailCommands.length], [1, 1]);
  }
  assert.equal((await outcomeOf(rig, same)).malformed, undefined);
  assert.equal((await outcomeOf(rig, other)).malformed?.failure_code, "idempotency_conflict");
  assert.equal((await outcomeOf(rig, malformed)).malformed?.failure_code, "invalid_fields");
}

/** Options of CREATE DATABASE by name: a language's own collation if the operating system has one, ICU, built in. */
async function collations(): Promise<[string, string][]> {
  const client = new pg.Client({ connectionString: testPostgres() });
  await client.connect();
  try {
    const { rows: [server] } = await client.query<{ version: number }>(
      "SELECT current_setting('server_version_num')::int / 10000 AS version",
    );
    const { rows: libc } = await client.query<{ name: string }>(
      `SELECT collcollate AS name FROM pg_collation
       WHERE collprovider = 'c' AND collencoding = pg_char_to_encoding('UTF8') AND collcollate <> 'C'
       ORDER BY collcollate ~* '^tr_TR' DESC, collcollate ~* '^C' LIMIT 1`,
    );
    const version = server!.version;
    return [
      ...libc.map(({ name }): [string, string] => [`libc ${name}`, `LC_COLLATE '${name}' LC_CTYPE '${name}'`]),
      ...(version < 15
        ? []
        : [["ICU tr-TR", "LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' LOCALE 'C'"]] as [string, string][]),
      ...(version < 17 ? [] : [["built in", "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"]] as [string, string][]),
    ];
  } finally {
    await client.end();
  }
}

/** The file with the server's German messages: beside its programs, or where Debian keeps all translations. */
async function germanMessages(): Promise<{ readonly german: string; readonly isThere: boolean }> {
  const { postgresBin, postgresVersion } = await findBinaries();
  const bin = dirname(await Deno.realPath(`${postgresBin}/postgres`));
  const share = bin.startsWith("/usr/lib/postgresql/") ? "/usr/share" : `${dirname(bin)}/share`;
  const german = `${share}/locale/de/LC_MESSAGES/postgres-${Number.parseInt(postgresVersion)}.mo`;
  return { german, isThere: existsSync(german) };
}

async function messages(dsn: string, sql: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: dsn });
  await client.connect();
  try {
    await client.query(sql);
    return [];
  } catch (error) {
    return [(error as Error).message];
  } finally {
    await client.end();
  }
}
