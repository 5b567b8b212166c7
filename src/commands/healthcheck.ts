/** `healthcheck`: asks the probe of the instance on the same machine, for containers without a shell. */
import { readEnvironment } from "../config/env.ts";
import { readValues } from "../config/values.ts";
import { escapeControls } from "../notification/control_characters.ts";
import { askProbe, probeUrl } from "../probe/ask.ts";
import { type Arguments, atMost, type Command, COMMAND_EXIT, CommandFailed, print } from "./command.ts";

export const command: Command = {
  usage: "healthcheck",
  help: `
Asks /readyz of the instance that listens on NOTIFICATION_INTERNAL_HTTP_ADDR of
this machine or container, and prints the answer. Exit code 1 unless it is ready.`,
  options: {},
  run,
};

async function run(args: Arguments): Promise<number> {
  atMost(args, 0);
  const address = readValues(readEnvironment()).values.INTERNAL_HTTP_ADDR;
  if (address === undefined) {
    throw new CommandFailed(COMMAND_EXIT.configuration, "NOTIFICATION_INTERNAL_HTTP_ADDR is not an address");
  }
  try {
    const { status, text } = await askProbe(address);
    print([escapeControls(text.slice(0, 200))]);
    return status === 200 ? COMMAND_EXIT.ok : COMMAND_EXIT.failed;
  } catch {
    throw new CommandFailed(COMMAND_EXIT.failed, `no answer from ${probeUrl(address)}`);
  }
}
