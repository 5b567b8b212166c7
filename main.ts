/** argv → command → exit code. What each command does is in src/commands; without one the service runs. */
import { runCommand } from "./src/commands/commands.ts";

if (import.meta.main) Deno.exit(await runCommand(Deno.args, { env: Deno.env }));
