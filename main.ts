/**
 * argv → command → exit code. The commands are in src/commands; without a command the service runs
 * (src/commands/run.ts).
 */
import { runCommand } from "./src/commands/commands.ts";

if (import.meta.main) Deno.exit(await runCommand(Deno.args, { env: Deno.env }));
