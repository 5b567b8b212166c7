/**
 * A name, a rig's options, and steps by name → one test whose steps use one rig and one running service.
 *
 * A failed step does not keep the next ones from running; leaks are checked for all steps together, because the
 * service's output is read across steps.
 */
import type { Rig } from "./service_rig.ts";
import type { ServiceProcess } from "./service_process.ts";
import { openRig, type RigOptions } from "./rig.ts";

export interface Running {
  readonly rig: Rig;
  readonly service: ServiceProcess;
}

export function testOnOneRig(
  name: string,
  options: RigOptions,
  steps: Readonly<Record<string, (running: Running) => Promise<void>>>,
): void {
  Deno.test(name, async (test) => {
    await using rig = await openRig(options);
    const service = await rig.start();
    for (const [step, run] of Object.entries(steps)) {
      const fn = async () => await run({ rig, service });
      await test.step({ name: step, fn, sanitizeOps: false, sanitizeResources: false, sanitizeExit: false });
    }
  });
}
