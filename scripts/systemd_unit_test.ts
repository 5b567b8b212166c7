/**
 * The unit and the `start` task contain the directives that operation depends on, each with its reason.
 * (scripts/check_systemd_unit.ts checks the unit's sandbox with systemd-analyze.)
 */
import assert from "node:assert/strict";
import denoJson from "../deno.json" with { type: "json" };
import { parseDuration } from "../src/config/durations.ts";
import { variables } from "../src/config/variables.ts";

const UNIT = directives(Deno.readTextFileSync(new URL("./systemd/notification-service.service", import.meta.url)));

Deno.test("the unit has the necessary directives", () => {
  const expected = {
    Type: "notify",
    Restart: "on-failure",
    RestartSec: "5s",
    // After five quick failures, systemd must still restart the unit, but not after a refused configuration.
    StartLimitIntervalSec: "0",
    RestartPreventExitStatus: "78",
    // Otherwise journald drops lines at the rate of the service's log.
    LogRateLimitIntervalSec: "0",
    DynamicUser: "yes",
    NoNewPrivileges: "yes",
    // Even if the environment file or the manager sets it.
    UnsetEnvironment: "OTEL_DENO",
    EnvironmentFile: "/etc/notification-service/environment",
    ExecStart: "/usr/local/bin/notification-service run",
  };
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(UNIT.get(name), [value], name);
  assert.deepEqual(UNIT.get("LoadCredential")?.map((credential) => credential.split(":")[0]), [
    "redis_password",
    "postgres_primary_dsn",
  ]);
  // V8 writes compiled code to memory and then executes it.
  assert.equal(UNIT.has("MemoryDenyWriteExecute"), false);
});

Deno.test("the time-outs of the unit are longer than those of the service", () => {
  const seconds = (name: string) => Number(/^(\d+)s$/.exec(UNIT.get(name)?.[0] ?? "")?.[1]);
  const bound = (name: "SHUTDOWN_TIMEOUT" | "STARTUP_TIMEOUT") => parseDuration(variables[name].default)! / 1000;
  assert.ok(seconds("TimeoutStopSec") > bound("SHUTDOWN_TIMEOUT"));
  // Redis, PostgreSQL and ownership each have a separate limit.
  assert.ok(seconds("TimeoutStartSec") > 3 * bound("STARTUP_TIMEOUT"));
  assert.ok(seconds("WatchdogSec") > 0);
});

Deno.test("the start task, and so the executable, has only the permissions that it needs", () => {
  const flags = denoJson.tasks.start.command.split(" ").filter((word) => word.startsWith("-"));
  assert.deepEqual(flags.filter((flag) => !flag.startsWith("--v8-flags=")), [
    "--no-prompt",
    "--allow-net",
    "--allow-env",
    "--allow-read",
    "--allow-sys",
    "--allow-write=/run/systemd/notify,/run/notification-service",
  ]);
});

/** Returns each directive with its values in order; comments and sections are omitted. */
function directives(unit: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const line of unit.split("\n")) {
    const [, name, value] = /^(\w+)=(.*)$/.exec(line) ?? [];
    if (name !== undefined) found.set(name, [...found.get(name) ?? [], value!]);
  }
  return found;
}
