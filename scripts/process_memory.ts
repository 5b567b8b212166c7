/** A process id → its present and peak resident memory, as counted by the kernel; NaN without /proc. */
export interface Memory {
  readonly residentMb: number;
  readonly peakMb: number;
}

/** @throws Deno.errors.NotFound if the process has ended */
export async function memoryOf(pid: number): Promise<Memory> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  const megabytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) * 1024 / 1e6;
  return { residentMb: megabytes("VmRSS"), peakMb: megabytes("VmHWM") };
}
