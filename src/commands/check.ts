/**
 * `check`: everything that `run` looks at before it starts, and what it would run into later, as a table. Changes
 * nothing; the exit code is the one that `run` would end with.
 */
import type { Config } from "../config/config.ts";
import { startStep } from "../lifecycle/start_up.ts";
import { systemClock } from "../clock.ts";
import { migrationStatus } from "../postgres/migrate.ts";
import { checkOwnership } from "../postgres/ownership.ts";
import { checkServer } from "../postgres/pool.ts";
import { checkRedis } from "../redis/check_server.ts";
import { type RedisConnection, Script } from "../redis/connection.ts";
import { UserService } from "../user_service/client.ts";
import { type Arguments, atMost, type Command, COMMAND_EXIT, CommandFailed, print, printJson } from "./command.ts";
import { type Reader, readersOf } from "./outbound_readers.ts";
import { readSettings } from "./settings.ts";
import { openPostgres, openRedis } from "./stores.ts";
import { paint, wrap } from "./terminal.ts";
import { duration } from "./time_words.ts";
import type pg from "pg";

export interface Finding {
  readonly name: string;
  readonly ok: boolean;
  /** Whether `run` would not start. What does not keep it from starting may keep it from working. */
  readonly blocksStart: boolean;
  readonly detail: string;
  /** What to do, where something is wrong. */
  readonly advice: string;
}

export const command: Command = {
  usage: "check [--json]",
  help: `
Validates the configuration and tries Redis, PostgreSQL and the User Service:
versions, ownership, pending migrations, the types of the streams, who reads the
outbound ones. Changes nothing.

Exit code: 78 or 69 where run would end with it, else 0.

--json: {"exit_code", "checks": [{"name", "ok", "blocks_start", "detail",
"advice"}], "outbound_streams": [{"stream", "groups": [{"name", "consumers",
"pending", "lag", "last_delivered_id", "last_reader": {"name", "idle_ms"}}]}]}`,
  options: { json: { type: "boolean" } },
  run,
};

async function run(args: Arguments): Promise<number> {
  atMost(args, 0);
  const settings = readSettings();
  for (const warning of settings.warnings) console.error(`warning: ${warning}`);
  const findings: Finding[] = settings.kind === "ok"
    ? [good("configuration", "complete and valid")]
    : settings.problems.map((problem) => bad("configuration", problem, ""));
  const readers: Reader[] = [];
  if (settings.kind === "ok") {
    const { config } = settings;
    const [redis, postgres, users] = await Promise.all([
      checkRedisSide(config, readers),
      checkPostgresSide(config),
      checkUserService(config),
    ]);
    findings.push(...redis, ...postgres, users);
  }
  const exitCode = settings.kind === "refused"
    ? COMMAND_EXIT.configuration
    : findings.some(({ blocksStart }) => blocksStart)
    ? COMMAND_EXIT.dependency
    : COMMAND_EXIT.ok;
  if (args.flag("json")) {
    printJson({
      exit_code: exitCode,
      checks: findings.map(({ blocksStart, ...rest }) => ({ ...rest, blocks_start: blocksStart })),
      outbound_streams: readers.map(({ stream, groups }) => ({ stream, groups })),
    });
  } else {
    const read = readers.length === 0 ? [] : ["", paint("bold", "Readers"), ...readers.flatMap(readerLines)];
    print([...findings.flatMap(lines), ...read, "", verdict(findings, exitCode)]);
  }
  return exitCode;
}

async function checkRedisSide(config: Config, readers: Reader[]): Promise<Finding[]> {
  const redis = openRedis(config, "check");
  const { host, port } = config.redis;
  try {
    const warnings = await bounded(config, "redis", async () => {
      await redis.connect();
      return await checkRedis(redis);
    });
    await bounded(config, "redis", () => redis.run(new Script("return redis.call('TIME')"), [], []));
    const findings = [
      good("redis", `a master at ${host}:${port} that takes scripts`),
      ...warnings.map((warning) => warn("redis", warning, "turn on appendonly or snapshots")),
    ];
    const { clientEventsStream, mailCommandsStream } = config.publish;
    findings.push(await checkStream(redis, config.intents.stream));
    for (const stream of [clientEventsStream, mailCommandsStream]) {
      const finding = await checkStream(redis, stream);
      findings.push(finding);
      if (finding.ok) readers.push(await readersOf(redis, stream));
    }
    return findings;
  } catch (error) {
    const advice = `see that Redis runs at ${host}:${port} and takes the password that is configured`;
    return [bad("redis", messageOf(error), advice)];
  } finally {
    await redis.close();
  }
}

async function checkStream(redis: RedisConnection, stream: string): Promise<Finding> {
  const type = String(await redis.call("TYPE", stream));
  if (type === "stream") return good(`stream ${stream}`, `${await redis.call("XLEN", stream)} entries`);
  if (type === "none") return good(`stream ${stream}`, "not there yet: the first entry makes it");
  return warn(
    `stream ${stream}`,
    `the key is a ${type}, not a stream`,
    "move that key away, or configure another name",
  );
}

async function checkPostgresSide(config: Config): Promise<Finding[]> {
  const findings: Finding[] = [];
  let pool;
  try {
    pool = openPostgres(config, "check");
  } catch (error) {
    return [bad("postgres", messageOf(error), "check NOTIFICATION_POSTGRES_PRIMARY_DSN")];
  }
  try {
    const { version } = await bounded(config, "postgres", () => checkServer(pool));
    findings.push(good("postgres", `a primary, version ${version}`));
    findings.push(await bounded(config, "migrations", () => checkMigrations(pool)));
    await bounded(config, "ownership", () => checkOwnership(pool, { missing: "allowed" }));
    findings.push(good("ownership", "the tables that are there belong to this role"));
  } catch (error) {
    const name = ["postgres", "migrations", "ownership"][findings.length] ?? "postgres";
    const advice = name === "ownership"
      ? "ALTER TABLE … OWNER TO this role, as an administrator"
      : "see that PostgreSQL runs and takes the DSN that is configured";
    findings.push(bad(name, messageOf(error), advice));
  } finally {
    await pool.close(1000);
  }
  return findings;
}

async function checkMigrations(pool: pg.Pool): Promise<Finding> {
  const all = await migrationStatus(pool);
  const newer = all.find(({ name }) => name === "");
  if (newer !== undefined) {
    return bad(
      "migrations",
      `the schema has version ${newer.version}, unknown to this executable`,
      "install a newer one",
    );
  }
  const pending = all.filter(({ appliedAt }) => appliedAt === null);
  if (pending.length === 0) return good("migrations", `all ${all.length} applied`);
  const { rows } = await pool.query<{ may: boolean; role: string }>(
    `SELECT current_user AS role, CASE WHEN to_regnamespace('notification') IS NULL
       THEN has_database_privilege(current_database(), 'CREATE')
       ELSE has_schema_privilege('notification', 'CREATE') END AS may`,
  );
  const { may, role } = rows[0]!;
  if (may) return good("migrations", `${pending.length} of ${all.length} pending: run applies them`);
  const advice = `have an administrator run CREATE SCHEMA notification AUTHORIZATION ${role}`;
  return bad("migrations", `${pending.length} pending, and role ${role} may not make the schema`, advice);
}

async function checkUserService({ userService }: Config): Promise<Finding> {
  const id = "notification-service-check";
  const service = new UserService({ ...userService, cacheTtlMs: 0 }, { clock: systemClock, observe: () => {} });
  const answer = (await service.lookUp([id], new AbortController().signal)).get(id);
  if (answer === undefined || answer.kind !== "unavailable") return good("user service", "answers as agreed");
  return warn("user service", answer.reason, `run starts, but intents for users wait: see ${userService.baseUrl}`);
}

async function bounded<Value>(config: Config, name: string, check: () => Promise<Value>): Promise<Value> {
  const { startupTimeoutMs } = config.process;
  return await startStep(name, check, { boundMs: startupTimeoutMs, stop: new AbortController().signal });
}

const good = (name: string, detail: string): Finding => ({ name, ok: true, blocksStart: false, detail, advice: "" });
const bad = (name: string, detail: string, advice: string): Finding => ({
  ...{ name, ok: false, blocksStart: true, detail, advice },
});
const warn = (name: string, detail: string, advice: string): Finding => ({
  ...{ name, ok: false, blocksStart: false, detail, advice },
});

function messageOf(error: unknown): string {
  if (error instanceof CommandFailed || error instanceof Error) return error.message;
  return String(error);
}

function lines({ name, ok, detail, advice }: Finding): string[] {
  const mark = ok ? paint("green", "✓") : paint("red", "✗");
  const [first = "", ...rest] = wrap(`${name}: ${detail}`, 4);
  const advices = advice === "" ? [] : wrap(`→ ${advice}`, 6).map((line) => paint("yellow", line));
  return [`  ${mark} ${first.trimStart()}`, ...rest, ...advices];
}

function readerLines({ stream, groups }: Reader): string[] {
  if (groups.length === 0) return wrap(`${stream}: no groups; who reads without one leaves no trace`, 2);
  return groups.flatMap(({ name, consumers, pending, lag, last_reader }) => {
    const last = last_reader === null
      ? "nobody has read yet"
      : `last read by ${last_reader.name} ${duration(last_reader.idle_ms)} ago`;
    const behind = lag === null ? "" : `, ${lag} behind`;
    return wrap(`${stream}, group ${name}: ${consumers} consumers, ${pending} pending${behind}; ${last}`, 2);
  });
}

function verdict(findings: readonly Finding[], exitCode: number): string {
  if (exitCode !== 0) return `run would end with exit code ${exitCode}.`;
  const wrong = findings.filter(({ ok }) => !ok).length;
  return wrong === 0 ? "run would start." : `run would start; ${wrong} to look at.`;
}
