/**
 * The options → a description of the machine, the software versions and the measured commit, so that results can be
 * compared.
 */
import { findBinaries } from "../servers/binaries.ts";
import { ROOT } from "./process.ts";

export async function describeMachine({ compare }: { compare: string | undefined }): Promise<Record<string, string>> {
  const { redisServer, postgresBin } = await findBinaries();
  return {
    cpu: await cpuModel(),
    cores: String(navigator.hardwareConcurrency),
    memory: `${Math.round(Deno.systemMemoryInfo().total / 1e9)} GB`,
    system: `${Deno.build.os} ${Deno.osRelease()}, ${Deno.build.arch}`,
    load: `${Deno.loadavg()[0]!.toFixed(2)} before the run`,
    deno: Deno.version.deno,
    postgres: await firstLine(`${postgresBin}/postgres`),
    redis: await firstLine(redisServer),
    commit: await commitOf(ROOT),
    ...(compare === undefined ? {} : { "other checkout": `${compare} ${await commitOf(compare)}` }),
  };
}

async function commitOf(folder: string): Promise<string> {
  return await firstLine("git", ["-C", folder, "describe", "--always", "--dirty"]);
}

async function cpuModel(): Promise<string> {
  const text = await Deno.readTextFile("/proc/cpuinfo").catch(() => "");
  return /^model name\s*: (.*)$/m.exec(text)?.[1] ?? "unknown";
}

async function firstLine(command: string, args = ["--version"]): Promise<string> {
  try {
    const { stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
    return new TextDecoder().decode(stdout).split("\n")[0]!.trim();
  } catch {
    return "unknown"; // for example if git is not installed
  }
}
