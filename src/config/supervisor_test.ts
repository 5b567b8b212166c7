/** Which of a supervisor's variables are used, and which values are ignored. */
import assert from "node:assert/strict";
import { readSupervisor } from "./supervisor.ts";

const read = (variables: Record<string, string>) =>
  readSupervisor({ get: (name: string) => variables[name] }, { pid: 42 });

Deno.test("readSupervisor() returns only undefined members without a supervisor", () => {
  const nothing = { notifySocket: undefined, watchdogMs: undefined, runtimeDirectory: undefined };
  assert.deepEqual(read({}), nothing);
  assert.deepEqual(read({ NOTIFY_SOCKET: "", WATCHDOG_USEC: "", RUNTIME_DIRECTORY: "" }), nothing);
});

Deno.test("readSupervisor() reads socket, watchdog and the first runtime directory", () => {
  assert.deepEqual(read({ NOTIFY_SOCKET: "/run/n", WATCHDOG_USEC: "30000000", RUNTIME_DIRECTORY: "/run/a:/run/b" }), {
    notifySocket: "/run/n",
    watchdogMs: 30_000,
    runtimeDirectory: "/run/a",
  });
  assert.equal(read({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "42" }).watchdogMs, 30_000);
});

Deno.test("readSupervisor() ignores another process's watchdog, and one without a time", () => {
  assert.equal(read({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "43" }).watchdogMs, undefined);
  for (const time of ["0", "-1", "soon", "1e9"]) assert.equal(read({ WATCHDOG_USEC: time }).watchdogMs, undefined);
});
