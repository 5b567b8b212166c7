/**
 * argv → command → exit code. A command's module is loaded only when the command is called, so that no command waits
 * for the others.
 *
 * Without a command, `run` is called. For a mistyped command standard error names the one that was probably meant.
 */
import { nearestName } from "../config/names.ts";
import {
  type Command,
  COMMAND_EXIT,
  CommandFailed,
  parseArguments,
  print,
  printError,
  type ProcessContext,
} from "./command.ts";
import { OutputClosed } from "./output.ts";

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<{ readonly command: Command }>;
}

export const COMMANDS: Readonly<Record<string, Entry>> = {
  run: { summary: "Run the service (the default)", load: () => import("./run.ts") },
  check: { summary: "Try configuration and dependencies; changes nothing", load: () => import("./check.ts") },
  migrate: { summary: "Show, apply or roll back migrations", load: () => import("./migrate.ts") },
  status: { summary: "Lag, depth, counts, instances", load: () => import("./status.ts") },
  inspect: {
    summary: "An intent's story; malformed, dead letters, routes, repairs",
    load: () => import("./inspect.ts"),
  },
  "set-aside": {
    summary: "Make intake pass over an entry",
    load: () => import("./set_aside.ts"),
  },
  reissue: {
    summary: "New XADDs for dead letters or malformed intents",
    load: () => import("./reissue.ts"),
  },
  smoke: { summary: "Send a harmless test intent and follow it", load: () => import("./smoke.ts") },
  catalog: { summary: "Show the catalog, or validate one", load: () => import("./catalog.ts") },
  "encode-intent": {
    summary: "JSON on standard input to an XADD for redis-cli",
    load: () => import("./encode_intent.ts"),
  },
  healthcheck: { summary: "Ask the probe of the instance beside it", load: () => import("./healthcheck.ts") },
  version: { summary: "Version, commit and runtime", load: () => import("./version.ts") },
};

const PROGRAM = "notification-service";

export async function runCommand(argv: readonly string[], context: ProcessContext): Promise<number> {
  const [first, ...rest] = argv;
  if (first === "--help" || first === "-h" || first === "help") return await help(rest[0]);
  if (first === "--version") return await runNamed("version", rest, context);
  // Options without a command are those of `run`.
  if (first === undefined || first.startsWith("-")) return await runNamed("run", argv, context);
  return await runNamed(first, rest, context);
}

async function runNamed(name: string, args: readonly string[], context: ProcessContext): Promise<number> {
  const entry = entryOf(name);
  if (entry === undefined) return unknown(name);
  try {
    const { command } = await entry.load();
    if (beforeTerminator(args).some((arg) => arg === "--help" || arg === "-h")) {
      print([`Usage: ${PROGRAM} ${command.usage}`, "", command.help.trim()]);
      return COMMAND_EXIT.ok;
    }
    return await command.run(parseArguments(args, command.options), context);
  } catch (error) {
    if (error instanceof OutputClosed) return COMMAND_EXIT.ok;
    if (!(error instanceof CommandFailed)) {
      printError(`${PROGRAM} ${name}: ${error instanceof Error ? error.stack ?? error.message : String(error)}`);
      return COMMAND_EXIT.unexpected;
    }
    printError(`${PROGRAM} ${name}: ${error.message}`);
    if (error.exitCode === COMMAND_EXIT.usage) printError(`See ${PROGRAM} ${name} --help`);
    return error.exitCode;
  }
}

function entryOf(name: string): Entry | undefined {
  return Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
}

function beforeTerminator(args: readonly string[]): readonly string[] {
  const end = args.indexOf("--");
  return end === -1 ? args : args.slice(0, end);
}

function unknown(name: string): number {
  const nearest = nearestName(name, Object.keys(COMMANDS));
  printError(`${PROGRAM}: unknown command ${JSON.stringify(name)}; did you mean ${nearest}?`);
  printError(`See ${PROGRAM} --help`);
  return COMMAND_EXIT.usage;
}

async function help(name: string | undefined): Promise<number> {
  if (name !== undefined) {
    const entry = entryOf(name);
    if (entry === undefined) return unknown(name);
    const { command } = await entry.load();
    print([`Usage: ${PROGRAM} ${command.usage}`, "", command.help.trim()]);
    return COMMAND_EXIT.ok;
  }
  print([
    `Usage: ${PROGRAM} [<command>] [<options>]`,
    "",
    "Relays intents from a Redis stream to push and mail, exactly once.",
    "",
    ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(15)}${summary}`),
    "",
    `More of each: ${PROGRAM} <command> --help. Configuration comes`,
    "only from the environment (NOTIFICATION_*). Results go to standard output,",
    "everything else to standard error; --json prints one object.",
  ]);
  return COMMAND_EXIT.ok;
}
