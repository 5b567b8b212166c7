/**
 * `check`: everything that `run` checks before it starts, and problems that it would meet later, as a table. Changes
 * nothing; the exit code is the one with which `run` would end.
 */
import { systemClock } from "../clock.ts";
import type { Config } from "../config/config.ts";
import { startStep } from "../lifecycle/start_up.ts";
import { UserService } from "../user_service/client.ts";
import { checkPostgresSide } from "./check_postgres_side.ts";
import { checkProbe } from "./check_probe.ts";
import { checkRedisSide, type RedisSide } from "./check_redis_side.ts";
import { type Arguments, atMost, type Command, print, printError, printJson } from "./command.ts";
import { type Finding, findingLines, good, refused, warn } from "./finding.ts";
import type { Reader } from "./outbound_readers.ts";
import { readSettings } from "./settings.ts";
import { paint, wrap } from "./terminal.ts";
import { duration } from "./time_words.ts";

export const command: Command = {
  usage: "check [--json]",
  help: `
Validates the configuration and tries Redis, PostgreSQL, the User Service and
the probe's address: versions, connection limits, ownership, pending migrations,
the types of the streams, the readers of the outbound ones. Changes nothing.

Exit code: 78 or 69 if run would end with it, otherwise 0.

--json: {"exit_code", "checks": [{"name", "ok", "blocks_start", "detail",
"advice"}], "outbound_streams": [{"stream", "groups": [{"name", "consumers",
"pending", "lag", "last_delivered_id", "last_reader": {"name", "idle_ms"}}]}]}`,
  options: { json: { type: "boolean" } },
  run,
};

async function run(args: Arguments): Promise<number> {
  atMost(args, 0);
  const settings = readSettings();
  for (const warning of settings.warnings) printError(`warning: ${warning}`);
  const findings: Finding[] = settings.kind === "ok"
    ? [good("configuration", "complete and valid")]
    : settings.problems.map((problem) => refused("configuration", problem));
  let readers: RedisSide["readers"] = [];
  if (settings.kind === "ok") {
    const { config } = settings;
    const [redis, postgres, users, probe] = await Promise.all([
      checkRedisSide(config, (check) => bounded(config, "redis", check)),
      checkPostgresSide(config, (check) => bounded(config, "postgres", check)),
      checkUserService(config),
      checkProbe(config.probe),
    ]);
    readers = redis.readers;
    findings.push(...redis.findings, ...postgres, users, probe);
  }
  // A refused configuration (78) takes precedence over a dependency (69), as in `run`.
  const exitCode = Math.max(...findings.map((finding) => finding.exitCode));
  if (args.flag("json")) {
    printJson({
      exit_code: exitCode,
      checks: findings.map(({ exitCode, ...rest }) => ({ ...rest, blocks_start: exitCode !== 0 })),
      outbound_streams: readers.map(({ stream, groups }) => ({ stream, groups })),
    });
  } else {
    const read = readers.length === 0 ? [] : ["", paint("bold", "Readers"), ...readers.flatMap(readerLines)];
    print([...findings.flatMap(findingLines), ...read, "", verdict(findings, exitCode)]);
  }
  return exitCode;
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

function readerLines({ stream, groups }: Reader): string[] {
  if (groups.length === 0) return wrap(`${stream}: no groups; a reader without a group can't be seen`, 2);
  return groups.flatMap(({ name, consumers, pending, lag, last_reader }) => {
    const last = last_reader === null
      ? "no reader yet"
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
