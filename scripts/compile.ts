/**
 * In: nothing, or `--target <triple>`, `--all`. Out: the executable in dist/, with its checksum and its SBOM (CycloneDX)
 * beside it. With the permissions of the task `start`, and version, commit, migrations and catalog inside.
 *
 * Only packages that the program can reach are embedded: it is compiled with a configuration of its own that knows no
 * others. For another machine than this one Deno needs that machine's runtime base, from its cache or its download site.
 */
import denoJson from "../deno.json" with { type: "json" };
import { embeddedPackages, lockWithout } from "./compile/packages.ts";
import { sbom } from "./compile/sbom.ts";
import { BUILD_FILE } from "../src/commands/version.ts";

const TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] as const;
type Target = typeof TARGETS[number];

const ROOT = new URL("../", import.meta.url);

if (import.meta.main) {
  Deno.chdir(ROOT);
  const targets = targetsOf(Deno.args);
  if (targets === undefined) {
    console.error(`Usage: deno run --allow-all scripts/compile.ts [--all | --target ${TARGETS.join(" | ")}]`);
    Deno.exit(64);
  }
  await Deno.mkdir("dist", { recursive: true });
  for (const target of targets) await compile(target);
}

function targetsOf(args: readonly string[]): readonly Target[] | undefined {
  if (args.length === 0) return [Deno.build.target as Target];
  if (args.length === 1 && args[0] === "--all") return TARGETS;
  const target = TARGETS.find((name) => name === args[1]);
  return args.length === 2 && args[0] === "--target" && target !== undefined ? [target] : undefined;
}

async function compile(target: Target): Promise<void> {
  const output = `dist/notification-service${target === Deno.build.target ? "" : `-${target.split("-")[0]}`}`;
  const commit = await currentCommit();
  await Deno.writeTextFile(BUILD_FILE, JSON.stringify({ commit }) + "\n");
  const packages = await embeddedPackages(denoJson.imports);
  const config = await writeConfig(packages);
  await run(Deno.execPath(), [
    "compile",
    ...["--quiet", "--config", config, "--frozen", "--no-check", "--target", target],
    ...permissions(),
    ...["--include", "migrations", "--include", BUILD_FILE],
    ...["--output", output, "main.ts"],
  ]);
  await Deno.writeTextFile(`${output}.cdx.json`, JSON.stringify(sbom({ version: denoJson.version, commit, packages }), null, 2) + "\n");
  await Deno.writeTextFile(`${output}.sha256`, `${await sha256(output)}  ${output.replace("dist/", "")}\n`);
  const { size } = await Deno.stat(output);
  console.log(`${output}: ${Math.round(size / 1e5) / 10} MB, ${packages.length} packages, commit ${commit}`);
}
