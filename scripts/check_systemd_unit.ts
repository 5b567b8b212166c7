/**
 * The unit file → exit code 0 if `systemd-analyze verify` reports nothing and the exposure from `systemd-analyze
 * security` is 2.0 or lower; otherwise their output. If systemd-analyze is missing, the Debian package systemd is
 * installed if possible.
 */
import { installServers, ServersMissing } from "./servers/install.ts";

const UNIT = new URL("./systemd/notification-service.service", import.meta.url);
const MAX_EXPOSURE = 2.0;

if (import.meta.main) {
  try {
    Deno.exit(await checkUnit());
  } catch (error) {
    if (!(error instanceof ServersMissing)) throw error;
    console.error(error.message);
    Deno.exit(error.exitCode);
  }
}

async function checkUnit(): Promise<number> {
  const folder = await Deno.makeTempDir();
  try {
    // `verify` requires that the executable exists.
    const executable = `${folder}/notification-service`;
    await Deno.writeTextFile(executable, "#!/bin/sh\n", { mode: 0o755 });
    const unit = `${folder}/notification-service.service`;
    const text = await Deno.readTextFile(UNIT);
    await Deno.writeTextFile(unit, text.replaceAll("/usr/local/bin/notification-service", executable));

    const verified = await analyze(["verify", "--man=no", unit]);
    const found = verified.output.trim();
    if (!verified.success || found !== "") {
      console.error(`systemd-analyze verify:\n${found}`);
      return 1;
    }
    const secured = await analyze([
      "security",
      "--offline=true",
      "--no-pager",
      `--threshold=${MAX_EXPOSURE * 10}`,
      unit,
    ]);
    const exposure = Number(/Overall exposure level for \S+: (\d+\.\d+)/.exec(secured.output)?.[1]);
    console.log(`systemd-analyze: verify clean, exposure ${exposure} (at most ${MAX_EXPOSURE.toFixed(1)})`);
    if (secured.success && exposure <= MAX_EXPOSURE) return 0;
    console.error(secured.output);
    return 1;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function analyze(args: readonly string[]): Promise<{ success: boolean; output: string }> {
  const run = async () => {
    const { success, stdout, stderr } = await new Deno.Command("systemd-analyze", { args: [...args] }).output();
    const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
    return { success, output: text };
  };
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await installServers(["systemd"]);
    return await run();
  }
}
