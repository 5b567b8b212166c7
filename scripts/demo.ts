/**
 * Nothing, or `--keep` to leave the service running → a demonstration of the Notification Service with temporary
 * servers: what was sent, what was published, and how the service stopped.
 *
 * Exit code 0 if all outcomes are as expected, 1 if not, 69 if the servers are not installed. Nothing is left behind,
 * also after Ctrl-C.
 */
import { openRigOn, type Rig } from "../tests/support/service_rig.ts";
import type { ServiceProcess } from "../tests/support/service_process.ts";
import { ADMINISTRATORS, fieldsOf, INTENTS, USERS } from "./demo/demo_intents.ts";
import { differences, type Outcome, readOutcome } from "./demo/outcome.ts";
import { heading, report } from "./demo/report.ts";
import { paint, wrap } from "./demo/table.ts";
import { findBinaries, programBeside } from "./servers/binaries.ts";
import { ServersMissing } from "./servers/install.ts";
import { startPostgres } from "./servers/postgres.ts";
import { startRedis } from "./servers/redis.ts";
import { startUserService } from "./servers/user_service.ts";

const LOOPS = ["internal_http", "intent_consumer", "push_publisher", "email_publisher", "retention_cleaner"] as const;
const SHUTDOWN_TIMEOUT_MS = 5_000;

if (import.meta.main) {
  const unknown = Deno.args.filter((arg) => arg !== "--keep");
  if (unknown.length > 0) {
    console.error(`Unknown argument ${unknown.join(" ")}\nUsage: deno task demo [--keep]`);
    Deno.exit(64);
  }
  try {
    Deno.exit(await demo({ keep: Deno.args.includes("--keep") }));
  } catch (error) {
    console.error(`\n${error instanceof Error ? error.message : error}`);
    Deno.exit(error instanceof ServersMissing ? error.exitCode : 1);
  }
}

async function demo({ keep }: { keep: boolean }): Promise<number> {
  console.log(paint("bold", "Notification Service, demonstration"));
  const { postgresVersion, redisVersion } = await findBinaries();
  const servers = `PostgreSQL ${postgresVersion}, Redis ${redisVersion} and a stand-in User Service`;
  console.log(paint("dim", `Starting ${servers}, all for this demonstration only …`));
  await using redis = await startRedis();
  await using postgres = await startPostgres();
  await using users = startUserService({ users: USERS });
  const dsn = await postgres.createDatabase("notification");
  await using rig = await openRigOn({ keySpace: redis, dsn, users, env: ADMINISTRATORS });

  const begun = performance.now();
  const service = await rig.start();
  console.log(paint("dim", `The service is ready after ${since(begun)}.`));

  const problems: string[] = [];
  const { entryIds, outcome } = await sendAll(rig);
  print(report(entryIds, outcome));
  problems.push(...differences(INTENTS, entryIds, outcome));

  print([heading("Probe", service.probeUrl)]);
  problems.push(...await askProbe(service));
  if (keep) await keepRunning(rig, service);
  print([heading("Stop", "SIGTERM, and what the service made of it")]);
  problems.push(...await stop(service));

  if (problems.length === 0) {
    console.log(`\n${paint("green", "✓")} All outcomes are as expected.`);
    return 0;
  }
  for (const problem of problems) console.log(`\n${paint("red", "✗")} ${problem}`);
  console.log(`\nThe service's output:\n${service.output()}`);
  return 1;
}

async function sendAll(rig: Rig): Promise<{ entryIds: string[]; outcome: Outcome }> {
  const begun = performance.now();
  const entryIds: string[] = [];
  for (const intent of INTENTS) {
    entryIds.push(await rig.addIntent({ ...fieldsOf(intent), occurred_at_ms: String(Date.now()) }));
  }
  await rig.settled();
  console.log(paint("dim", `${INTENTS.length} intents sent and processed after ${since(begun)}.`));
  return { entryIds, outcome: await readOutcome(rig) };
}

async function askProbe(service: ServiceProcess): Promise<string[]> {
  const problems: string[] = [];
  for (const [path, status] of [["/healthz", 200], ["/readyz", 200], ["/metrics", 404]] as const) {
    const response = await fetch(`${service.probeUrl}${path}`);
    const body = (await response.text()).trim();
    console.log(`  GET ${path.padEnd(9)} ${response.status}  ${body}`);
    if (response.status !== status) problems.push(`GET ${path} answered ${response.status} instead of ${status}`);
  }
  return problems;
}

async function stop(service: ServiceProcess): Promise<string[]> {
  const logged = service.logs.length;
  const { code, durationMs } = await service.terminate();
  const stopped = service.logs.slice(logged).filter((line) => line.message === "stopped").map((line) => line.logger);
  print(wrap(`stopped in this order: ${stopped.join(", ")}`, 2));
  console.log(`  exit code ${code} after ${Math.round(durationMs)} ms`);

  const problems = LOOPS.filter((loop) => !stopped.includes(loop)).map((loop) => `${loop} did not log that it stopped`);
  if (code !== 0) problems.push(`The service ended with exit code ${code} instead of 0`);
  if (durationMs > SHUTDOWN_TIMEOUT_MS) problems.push(`The stop took longer than ${SHUTDOWN_TIMEOUT_MS} ms`);
  return problems;
}

/** Resolves on Ctrl-C or SIGTERM, or when the service ends. */
async function keepRunning(rig: Rig, service: ServiceProcess): Promise<void> {
  const { host, port, password } = rig.keySpace;
  const { redisServer, postgresBin } = await findBinaries();
  const [redisCli, psql] = [programBeside(redisServer, "redis-cli"), programBeside(`${postgresBin}/postgres`, "psql")];
  const redis = `${redisCli ?? "redis-cli"} -h ${host} -p ${port} -a ${password} --no-auth-warning`;
  print([
    heading("Running on", "until Ctrl-C"),
    ...Object.entries(rig.env).map(([name, value]) => `  ${name}=${value}`),
    heading("Try", "an intent of your own, and where it went"),
    `${redis} \\`,
    `  XADD notification:intents '*' notification_type game.turn.ready producer game-master \\`,
    `  audience_kind user recipient_user_ids_json '["ada"]' idempotency_key "try-$(date +%s)" \\`,
    `  occurred_at_ms "$(date +%s)000" payload_json '{"game_id":"g-1","game_name":"Try","turn_number":1}'`,
    "",
    `${redis} \\`,
    `  XREVRANGE gateway:client-events + - COUNT 1`,
    // The downloaded PostgreSQL does not contain psql.
    ...(psql === undefined ? [] : [
      "",
      `${psql} ${rig.dsn} \\`,
      `  -c "SELECT * FROM notification.routes ORDER BY created_at DESC LIMIT 2" -x`,
    ]),
    heading("Log", "what the service says from here on"),
  ]);
  const from = new Date().toISOString(); // earlier lines may still arrive
  let seen = service.logs.length;
  const follow = setInterval(() => {
    for (const { time, level, logger, message } of service.logs.slice(seen)) {
      if (time > from) console.log(`  ${paint("dim", time)} ${level} ${logger}: ${message}`);
    }
    seen = service.logs.length;
  }, 100);
  await Promise.race([interrupted(), service.ended]);
  clearInterval(follow);
}

/** Resolves on the first Ctrl-C or SIGTERM; a second Ctrl-C ends everything immediately. */
function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    let first = Infinity;
    const listener = () => {
      resolve();
      // `deno task` also forwards the Ctrl-C that this process has already received from the terminal.
      if (performance.now() - first > 500) Deno.exit(130);
      first = Math.min(first, performance.now());
    };
    for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, listener);
  });
}

function print(lines: readonly string[]): void {
  for (const line of lines) console.log(line);
}

function since(begun: number): string {
  return `${Math.round(performance.now() - begun)} ms`;
}
