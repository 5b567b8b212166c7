// In: arguments of `deno test`; without a path among them it is all tests. With `--restricted` among them the service has
// the role and the access control line of docs/security.md, and no more. Out: the output and exit code of `deno test`.
// Guaranteed: one Redis and one PostgreSQL are there for all tests, named by TEST_REDIS_ADDR, TEST_REDIS_PASSWORD and
// TEST_POSTGRES_DSN, and gone afterwards; leaked operations and resources fail a test on every supported Deno.

import { Guard } from "./servers/guard.ts";
import { ServersMissing } from "./servers/install.ts";
import { startPostgres } from "./servers/postgres.ts";
import { startRedis } from "./servers/redis.ts";

if (import.meta.main) {
  try {
    if (Deno.args.includes("--restricted")) Deno.env.set("TEST_RESTRICTED", "1");
    Deno.exit(await runTests(Deno.args.filter((arg) => arg !== "--restricted")));
  } catch (error) {
    if (!(error instanceof ServersMissing)) throw error;
    console.error(error.message);
    Deno.exit(error.exitCode);
  }
}

async function runTests(args: readonly string[]): Promise<number> {
  await using redis = await startRedis();
  await using postgres = await startPostgres();
  await using guard = new Guard();
  // Ctrl-C reaches `deno test` too, which ends by it; this process stays to stop the servers.
  Deno.addSignalListener("SIGINT", () => {});
  const tests = new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "--allow-all",
      ...args,
      ...(args.some(isPath) ? [] : ["src", "tests", "scripts"]),
    ],
    env: {
      TEST_REDIS_ADDR: redis.addr,
      TEST_REDIS_PASSWORD: redis.password,
      TEST_POSTGRES_DSN: postgres.dsn,
      DENO_TEST_SANITIZE_OPS: "1",
      DENO_TEST_SANITIZE_RESOURCES: "1",
    },
  }).spawn();
  Deno.addSignalListener("SIGTERM", () => tests.kill("SIGTERM"));
  await guard.watch(tests.pid, "KILL");
  return (await tests.status).code;
}

function isPath(arg: string): boolean {
  try {
    Deno.statSync(arg);
    return true;
  } catch {
    return arg.endsWith(".ts"); // a pattern such as tests/**/*_test.ts, or an option
  }
}
