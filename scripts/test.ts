// In: arguments of `deno test`; without a path among them it is all tests. With `--restricted` among them the service has
// the role and the access control line of docs/security.md, and no more. Out: the output of `deno test`, and an exit code
// that is 0 only when every test passed.
// Guaranteed: a Redis and a PostgreSQL are there for the tests, named by TEST_REDIS_ADDR, TEST_REDIS_PASSWORD and
// TEST_POSTGRES_DSN, and gone afterwards; leaked operations and resources fail a test on every supported Deno.
//
// Tests wait more than they work. Many of them run in several lanes, each with servers of its own (seen on two cores: 3 min
// 41 s in three lanes, 4 min 59 s in two). The first lane's output is shown as it comes, that of the others follows it.

import { Guard } from "./servers/guard.ts";
import { ServersMissing } from "./servers/install.ts";
import { type Postgres, startPostgres } from "./servers/postgres.ts";
import { type RedisServer, startRedis } from "./servers/redis.ts";

const MOST_LANES = 3;
/** Fewer files are not worth another pair of servers. */
const FILES_FOR_ANOTHER_LANE = 10;

if (import.meta.main) {
  try {
    if (Deno.args.includes("--restricted")) Deno.env.set("TEST_RESTRICTED", "1");
    // Ctrl-C reaches `deno test` too, which ends by it; this process stays to stop the servers.
    Deno.addSignalListener("SIGINT", () => {});
    Deno.exit(await runTests(Deno.args.filter((arg) => arg !== "--restricted")));
  } catch (error) {
    if (!(error instanceof ServersMissing)) throw error;
    console.error(error.message);
    Deno.exit(error.exitCode);
  }
}

async function runTests(args: readonly string[]): Promise<number> {
  const options = args.filter((arg) => !isPath(arg));
  const paths = args.filter(isPath);
  const files = (paths.length > 0 ? paths : ["src", "tests", "scripts"]).flatMap(testFiles);
  await using stack = new AsyncDisposableStack();
  const servers: Servers[] = [];
  // One after the other: where they are not installed yet, the first ones see to that.
  while (servers.length < lanesFor(files)) servers.push(stack.use(await startServers()));
  // In turn, so that neighbours, which take about as long, come to different lanes.
  const ran = await Promise.all(servers.map((pair, lane) => {
    const own = files.filter((_, at) => at % servers.length === lane);
    return runLane(pair, [...options, ...own], lane === 0 ? "shown" : "held back");
  }));
  for (const { text } of ran.slice(1)) console.log(text);
  return Math.max(...ran.map(({ code }) => code));
}

function lanesFor(files: readonly string[]): number {
  return Math.min(MOST_LANES, 1 + Math.floor(files.length / FILES_FOR_ANOTHER_LANE));
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

async function runLane(
  { redis, postgres }: Servers,
  args: readonly string[],
  output: "shown" | "held back",
): Promise<{ code: number; text: string }> {
  await using guard = new Guard();
  const stream = output === "shown" ? "inherit" : "piped";
  const tests = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", ...args],
    env: {
      TEST_REDIS_ADDR: redis.addr,
      TEST_REDIS_PASSWORD: redis.password,
      TEST_POSTGRES_DSN: postgres.dsn,
      DENO_TEST_SANITIZE_OPS: "1",
      DENO_TEST_SANITIZE_RESOURCES: "1",
    },
    stdout: stream,
    stderr: stream,
  }).spawn();
  const passOn = () => tests.kill("SIGTERM");
  Deno.addSignalListener("SIGTERM", passOn);
  try {
    await guard.watch(tests.pid, "KILL");
    if (output === "shown") return { code: (await tests.status).code, text: "" };
    const { code, stdout, stderr } = await tests.output();
    return { code, text: [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("") };
  } finally {
    Deno.removeSignalListener("SIGTERM", passOn);
  }
}

function isPath(arg: string): boolean {
  try {
    Deno.statSync(arg);
    return true;
  } catch {
    return arg.endsWith(".ts"); // a pattern such as tests/**/*_test.ts, or an option
  }
}

/** Those in a folder and below; anything else is for `deno test` to understand. */
function testFiles(path: string): string[] {
  if (!isFolder(path)) return [path];
  const entries = [...Deno.readDirSync(path)].toSorted((a, b) => a.name < b.name ? -1 : 1);
  return entries.flatMap(({ name, isDirectory }) => {
    if (isDirectory) return testFiles(`${path}/${name}`);
    return name.endsWith("_test.ts") ? [`${path}/${name}`] : [];
  });
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
