/** CPU time is read from /proc, and the times of a process and its descendants are added. */
import assert from "node:assert/strict";
import { cpuEach, inAll, parseStat, startCpuMeter, treeMicros } from "./cpu.ts";

const isLinux = Deno.build.os === "linux";

Deno.test("parseStat() accepts a process name with spaces and brackets", () => {
  const line = "41 (a) b (c) R 7 41 41 0 -1 4194304 1 2 3 4 150 50 30 20 20 0 9 0 100 1 1\n";
  assert.deepEqual(parseStat(line), { pid: 41, parent: 7, micros: 2_000_000, endedChildrenMicros: 500_000 });
});

Deno.test("treeMicros() adds up the CPU time of a process and its descendants, also of those that have ended", () => {
  const stat = (pid: number, parent: number, micros: number, endedChildrenMicros = 0) => (
    { pid, parent, micros, endedChildrenMicros }
  );
  const stats = [stat(1, 0, 1000), stat(2, 1, 100, 5), stat(3, 2, 20, 3), stat(4, 1, 7)];
  assert.equal(treeMicros(stats, 2), 128);
  assert.equal(treeMicros(stats, 3), 23);
  assert.ok(Number.isNaN(treeMicros(stats, 9)));
});

Deno.test("startCpuMeter() counts the CPU time of a child that has ended, and no time of an idle process", {
  ignore: !isLinux,
}, async () => {
  // The shell waits for its child, as the postmaster does for its backends, and continues to run.
  const work = "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done";
  const busy = shell(`read -r _; sh -c '${work}'; echo done; read -r _`);
  const idle = shell("read -r _");
  try {
    const stop = await startCpuMeter({ process: [busy.pid], postgres: [idle.pid], redis: [idle.pid, idle.pid] });
    const [input, output] = [busy.stdin.getWriter(), busy.stdout.getReader()];
    await input.write(new TextEncoder().encode("\n"));
    assert.equal(new TextDecoder().decode((await output.read()).value), "done\n");
    const { process, postgres, redis } = await stop();
    assert.ok(process >= 20_000, `${process} µs`);
    assert.deepEqual([postgres, redis], [0, 0]);
    await Promise.all([input.close(), output.cancel()]);
  } finally {
    await Promise.all([end(busy), end(idle)]);
  }
});

Deno.test("cpuEach() divides by the number of items, and inAll() adds up the processes", () => {
  const cpu = cpuEach({ process: 30, postgres: 20, redis: 10 }, 10);
  assert.deepEqual(cpu, { process: 3, postgres: 2, redis: 1 });
  assert.equal(inAll(cpu), 6);
});

function shell(script: string): Deno.ChildProcess {
  return new Deno.Command("sh", { args: ["-c", script], stdin: "piped", stdout: "piped", stderr: "null" }).spawn();
}

async function end(child: Deno.ChildProcess): Promise<void> {
  if (!child.stdin.locked) await child.stdin.close();
  if (!child.stdout.locked) await child.stdout.cancel();
  await child.status;
}
