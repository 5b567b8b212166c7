/**
 * Nothing, or `--target <triple>`, `--all` → the executable in dist/, its checksum and its SBOM (CycloneDX). The
 * executable has the permissions of the task `start`, and contains version, commit, migrations and catalog.
 *
 * Only packages that the program can reach are embedded, without files that no program reads. For another platform,
 * Deno needs the runtime of that platform, from its cache or its download site.
 */
import denoJson from "../deno.json" with { type: "json" };
import { BUILD_FILE } from "../src/commands/version.ts";
import { type PackageGraph, reachablePackages, writeCache } from "./compile/packages.ts";
import { hexOf, sbom } from "./compile/sbom.ts";

const TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] as const;
type Target = typeof TARGETS[number];

const NAME = "notification-service";

if (import.meta.main) {
  Deno.chdir(new URL("../", import.meta.url));
  const targets = targetsOf(Deno.args);
  if (targets === undefined) {
    console.error(`Usage: deno run --allow-all scripts/compile.ts [--all | --target ${TARGETS.join("|")}]`);
    Deno.exit(64);
  }
  await Deno.mkdir("dist", { recursive: true });
  const commit = await currentCommit();
  await Deno.writeTextFile(BUILD_FILE, `${JSON.stringify({ commit })}\n`);
  await deno(["cache", "--frozen", "main.ts"]);
  const packages = await reachablePackages("main.ts");
  for (const target of targets) await compile(target, { commit, packages });
}

function targetsOf(args: readonly string[]): readonly Target[] | undefined {
  const here = TARGETS.find((target) => target === Deno.build.target);
  if (args.length === 0 && here !== undefined) return [here];
  if (args.length === 1 && args[0] === "--all") return TARGETS;
  const target = TARGETS.find((name) => name === args[1]);
  return args.length === 2 && args[0] === "--target" && target !== undefined ? [target] : undefined;
}

async function compile(
  target: Target,
  { commit, packages }: { commit: string; packages: PackageGraph },
): Promise<void> {
  const output = `dist/${NAME}${target === Deno.build.target ? "" : `-${target.split("-")[0]}`}`;
  const cache = await Deno.makeTempDir({ prefix: "notification-compile" });
  try {
    await writeCache(cache, packages);
    // Deno embeds all packages in the lock file, not only the reachable ones.
    await Deno.writeTextFile(`${cache}/deno.lock`, JSON.stringify(await lockOf(packages)));
    await deno([
      "compile",
      ...["--quiet", "--no-check", "--lock", `${cache}/deno.lock`, "--target", target],
      ...permissions(),
      ...["--include", "migrations", "--include", BUILD_FILE],
      ...["--output", output, "main.ts"],
    ], { DENO_DIR: cache });
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
  await Deno.writeTextFile(`${output}.cdx.json`, `${await materials(commit, packages)}\n`);
  await Deno.writeTextFile(`${output}.sha256`, `${await sha256(output)}  ${output.replace("dist/", "")}\n`);
  const { size } = await Deno.stat(output);
  console.log(`${output}: ${(size / 1e6).toFixed(1)} MB, ${packages.size} packages, commit ${commit}`);
}

/** The flags are read from the task `start`: `deno run <flags> main.ts`. */
function permissions(): string[] {
  return denoJson.tasks.start.command.split(" ").filter((word) => word.startsWith("--"));
}

interface Lock {
  readonly version: string;
  readonly specifiers: Readonly<Record<string, string>>;
  readonly npm: Readonly<Record<string, { readonly integrity: string }>>;
}

async function readLock(): Promise<Lock> {
  return JSON.parse(await Deno.readTextFile("deno.lock"));
}

async function lockOf(packages: PackageGraph): Promise<Lock> {
  const { version, specifiers, npm } = await readLock();
  const resolved = ([specifier, version]: readonly [string, string]) =>
    packages.has(`${/^npm:(@?[^@]+)@/.exec(specifier)?.[1]}@${version}`);
  return {
    version,
    specifiers: Object.fromEntries(Object.entries(specifiers).filter(resolved)),
    npm: Object.fromEntries(Object.entries(npm).filter(([id]) => packages.has(id))),
  };
}

/** Exported for its test. */
export async function materials(commit: string, packages: PackageGraph): Promise<string> {
  const { npm } = await readLock();
  return sbom({
    name: NAME,
    version: denoJson.version,
    commit,
    licence: denoJson.license,
    deno: Deno.version.deno,
    packages,
    integrity: (id) => npm[id] === undefined ? undefined : hexOf(npm[id].integrity),
  });
}

/** The commit, with `-dirty` if the sources differ from it; `unknown` outside a repository. */
async function currentCommit(): Promise<string> {
  const git = async (...args: string[]) => {
    const { success, stdout } = await new Deno.Command("git", { args, stderr: "null" }).output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  };
  try {
    const commit = await git("rev-parse", "--short=12", "HEAD");
    if (commit === undefined) return "unknown";
    return await git("status", "--porcelain", "--", "main.ts", "src", "migrations", "deno.json", "deno.lock") === ""
      ? commit
      : `${commit}-dirty`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "unknown"; // git is not installed
    throw error;
  }
}

async function deno(args: readonly string[], env: Record<string, string> = {}): Promise<void> {
  const { success } = await new Deno.Command(Deno.execPath(), { args: [...args], env, stdin: "null" }).spawn().status;
  if (!success) throw new Error(`deno ${args[0]} failed`);
}

async function sha256(file: string): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", await Deno.readFile(file))).toHex();
}
