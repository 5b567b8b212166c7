/** `healthcheck`: asks the probe of the instance beside it, for containers that have no shell to ask with. */
import { get } from "node:http";
import { timeOutSignal } from "../clock.ts";
import { readEnvironment } from "../config/env.ts";
import { readValues } from "../config/values.ts";
import { type Arguments, atMost, type Command, COMMAND_EXIT, CommandFailed, print } from "./command.ts";

export const command: Command = {
  usage: "healthcheck",
  help: `
Asks /readyz of the instance that listens on NOTIFICATION_INTERNAL_HTTP_ADDR of
this machine or container, and says what it answered. Exit code 1 unless it is
ready.`,
  options: {},
  run,
};

const TIMEOUT_MS = 2000;

async function run(args: Arguments): Promise<number> {
  atMost(args, 0);
  const address = readValues(readEnvironment()).values.INTERNAL_HTTP_ADDR;
  if (address === undefined) {
    throw new CommandFailed(COMMAND_EXIT.configuration, "NOTIFICATION_INTERNAL_HTTP_ADDR is not an address");
  }
  const url = `http://${hostOf(address.hostname)}:${address.port}/readyz`;
  try {
    const { status, text } = await ask(url);
    print([text.slice(0, 200)]);
    return status === 200 ? COMMAND_EXIT.ok : COMMAND_EXIT.failed;
  } catch {
    throw new CommandFailed(COMMAND_EXIT.failed, `nobody answers at ${url}`);
  }
}

/** Not by fetch(), which would ask the proxy that HTTP_PROXY or ALL_PROXY names. */
async function ask(url: string): Promise<{ status: number; text: string }> {
  return await new Promise((resolve, reject) => {
    const request = get(url, { signal: timeOutSignal(TIMEOUT_MS), agent: false }, async (response) => {
      try {
        let text = "";
        for await (const chunk of response.setEncoding("utf8")) text += chunk;
        resolve({ status: response.statusCode ?? 0, text });
      } catch (error) {
        reject(error);
      }
    });
    request.on("error", reject);
  });
}

/** Where a listener on all interfaces is reached from beside it. */
function hostOf(hostname: string): string {
  if (hostname === "" || hostname === "::" || hostname === "0.0.0.0") return "127.0.0.1";
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}
