/** A command → its standard output if its exit code is 0, otherwise an error with all its output; or only whether it is 0. */
interface CommandOptions {
  readonly cwd?: string | URL;
}

/** @throws Error with the command, its standard output and its standard error */
export async function outputOf(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const output = await new Deno.Command(command, { ...options, args: [...args], stdin: "null" }).output();
  const [stdout, stderr] = [output.stdout, output.stderr].map((bytes) => new TextDecoder().decode(bytes));
  if (!output.success) throw new Error(`${command} ${args.slice(0, 12).join(" ")} failed:\n${stdout}${stderr}`);
  return stdout!;
}

/** Returns `false` also if the program is not installed. */
export async function succeeds(program: string, ...args: string[]): Promise<boolean> {
  try {
    const { success } = await new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "null" })
      .output();
    return success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
