/** A command → its standard output if its exit code is 0; otherwise an error with all its output. */
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
