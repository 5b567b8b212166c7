/**
 * Arguments of `deno test` → its output, a last line `N passed, N failed` with the time, and exit code 0 only if every
 * test passed. Without a path, it runs all tests except the upgrade tests.
 *
 * `--restricted`: the service has only the permissions of the role and the access control line in docs/security.md.
 * TEST_POSTGRES_VERSION is the major version of PostgreSQL to test with, such as 14. Leaked operations and resources
 * fail a test.
 */
import { findBinaries } from "./servers/binaries.ts";
import { Guard } from "./servers/guard.ts";
import { ServersMissing } from "./servers/install.ts";
import { type Postgres, startPostgres } from "./servers/postgres.ts";
import { type RedisServer, startRedis } from "./servers/redis.ts";
import { ownConfiguration, testFiles } from "./test/files.ts";
import { type Ran, summary } from "./test/summary.ts";

/** These tests need the git history, which a downloaded archive lacks. `deno task test:upgrade` runs them. */
const UPGRADE_TESTS = "tests/upgrade";
/** Tests mostly wait, so they run in lanes, each with its own servers: 3 min 41 s in three lanes, 4 min 59 s in two. */
const MAX_LANES = 3;
/** For fewer files, another pair of servers does not save time. */
const FILES_FOR_ANOTHER_LANE = 10;

interface Run {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

if (import.meta.main) {
  try {
    if (Deno.args.includes("--restricted")) Deno.env.set("TEST_RESTRICTED", "1");
    // Ctrl-C also ends `deno test`; this process continues, in order to stop the servers.
    Deno.addSignalListener("SIGINT", () => {});
    Deno.exit(await runTests(Deno.args.filter((arg) => arg !== "--restricted")));
  } catch (error) {
    if (!(error instanceof ServersMissing)) throw error;
    console.error(error.message);
    Deno.exit(error.exitCode);
  }
}

async function runTests(args: readonly string[]): Promise<number> {
  const begun = performance.now();
  const options = args.filter((arg) => !isPath(arg));
  const paths = args.filter(isPath);
  const files = paths.length > 0
    ? paths.flatMap(testFiles)
    : ["src", "tests", "scripts"].flatMap(testFiles).filter((file) => !file.startsWith(`${UPGRADE_TESTS}/`));
  const byConfiguration = Map.groupBy(files, (file) => ownConfiguration(file, Deno.cwd()));

  await using stack = new AsyncDisposableStack();
  const runs: Run[] = [];
  const shared = byConfiguration.get(undefined) ?? [];
  const lanes = lanesFor(shared);
  if (lanes > 0) {
    const { postgresVersion, redisVersion } = await findBinaries();
    console.log(`On PostgreSQL ${postgresVersion} and Redis ${redisVersion}`);
  }
  for (let lane = 0; lane < lanes; lane++) {
    // Neighbouring files take about the same time, so they are distributed to different lanes.
    const own = shared.filter((_, at) => at % lanes === lane);
    // Not in parallel: if servers are missing, the first start downloads them.
    runs.push({ args: [...options, ...own], env: variablesFor(stack.use(await startServers())) });
  }
  for (const [configuration, own] of byConfiguration) {
    if (configuration === undefined) continue;
    // Without the messages about downloaded packages.
    runs.push({ args: ["--quiet", "--config", configuration, ...options, ...own], env: {} });
  }
  const ran = await Promise.all(runs.map((run, at) => runDenoTest(run, at === 0 ? "shown" : "held back")));
  for (const { text } of ran.slice(1)) console.log(text);
  const line = summary(ran, performance.now() - begun);
  if (line !== undefined) console.log(line);
  return Math.max(...ran.map(({ code }) => code));
}

function lanesFor(files: readonly string[]): number {
  return files.length === 0 ? 0 : Math.min(MAX_LANES, 1 + Math.floor(files.length / FILES_FOR_ANOTHER_LANE));
}

interface Servers extends AsyncDisposable {
  readonly redis: RedisServer;
  readonly postgres: Postgres;
}

async function startServers(): Promise<Servers> {
  await using stack = new AsyncDisposableStack();
  const redis = stack.use(await startRedis());
  const postgres = stack.use(await startPostgres());
  const ownership = stack.move();
  return { redis, postgres, [Symbol.asyncDispose]: () => ownership.disposeAsync() };
}

function variablesFor({ redis, postgres }: Servers): Record<string, string> {
  return {
    TEST_REDIS_ADDR: redis.addr,
    TEST_REDIS_PASSWORD: redis.password,
    TEST_POSTGRES_DSN: postgres.dsn,
  };
}

async function runDenoTest({ args, env }: Run, output: "shown" | "held back"): Promise<Ran> {
  await using guard = new Guard();
  const isShown = output === "shown";
  const tests = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", ...args],
    env: { DENO_TEST_SANITIZE_OPS: "1", DENO_TEST_SANITIZE_RESOURCES: "1", ...env },
    stdout: "piped",
    stderr: isShown ? "inherit" : "piped",
  }).spawn();
  const passOn = () => tests.kill("SIGTERM");
  Deno.addSignalListener("SIGTERM", passOn);
  try {
    await guard.watch(tests.pid, "KILL");
    const [stdout, stderr, { code, signal }] = await Promise.all([
      textOf(tests.stdout, isShown ? Deno.stdout : undefined),
      isShown ? "" : textOf(tests.stderr),
      tests.status,
    ]);
    if (signal !== null) console.error(`deno test was ended by ${signal}`);
    return { code, text: stdout + stderr };
  } finally {
    Deno.removeSignalListener("SIGTERM", passOn);
  }
}

/** Reads the stream to its end and, if `shownOn` is given, copies it there immediately. */
async function textOf(stream: ReadableStream<Uint8Array>, shownOn?: typeof Deno.stdout): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of stream) {
    text += decoder.decode(bytes, { stream: true });
    for (let sent = 0; shownOn !== undefined && sent < bytes.length;) sent += shownOn.writeSync(bytes.subarray(sent));
  }
  return text + decoder.decode();
}

function isPath(arg: string): boolean {
  try {
    Deno.statSync(arg);
    return true;
  } catch {
    return arg.endsWith(".ts"); // a pattern such as tests/**/*_test.ts, or an option
  }
}
