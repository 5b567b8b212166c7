/**
 * A command → what it prints on standard output, once it has ended well; otherwise an error with all that it printed.
 */
interface CommandOptions {
  readonly cwd?: string | URL;
}

/** @throws Error that names the command and shows both its outputs */
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
