/**
 * The help texts of the commands → docs/commands.md.
 *
 * `deno run --allow-read --allow-write --allow-env --allow-sys scripts/commands_reference.ts` writes it; a test keeps
 * it current.
 */
import { COMMANDS } from "../src/commands/commands.ts";

export const COMMANDS_PAGE = new URL("../docs/commands.md", import.meta.url);

export async function commandsReference(): Promise<string> {
  const sections: string[] = [];
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    const { command } = await load();
    const help = `notification-service ${command.usage}\n\n${command.help.trim()}`;
    sections.push(`## ${name}\n\n${summary}.\n\n\`\`\`text\n${help}\n\`\`\``);
  }
  return `<!-- Made by scripts/commands_reference.ts from the commands' own help; a test keeps it current. -->

# Commands

All are of the one executable, with the same configuration as the service (\`check\` and \`status\` need its secrets too).
Results go to standard output, everything else to standard error. \`--json\` prints one object. None but \`migrate\`,
\`smoke\` and \`set-aside\` writes anything.

Exit codes besides the service's own (0, 1, 69, 70, 78): 1 where what was asked about is not there or what was tried did not
come about, 64 for a command line that is not understood or lacks a \`--yes\`, 65 for data that is refused.

${sections.join("\n\n")}
`;
}

if (import.meta.main) await Deno.writeTextFile(COMMANDS_PAGE, await commandsReference());
