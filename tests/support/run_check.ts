/** A check of this project's structure and the folder of another project → the check's output for that project. */
export async function runCheck(
  script: URL,
  root: string,
  flags: readonly string[] = ["--allow-read"],
): Promise<{ code: number; stderr: string }> {
  const args = ["run", ...flags, script.pathname, root];
  const { code, stderr } = await new Deno.Command(Deno.execPath(), { args, env: { NO_COLOR: "1" } }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}
