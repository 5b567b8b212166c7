/** `encode-intent`: JSON on standard input → the XADD that sends it, for redis-cli, if the catalog allows it. */
import { readEnvironment } from "../config/env.ts";
import { readValues } from "../config/values.ts";
import type { Catalog } from "../notification/catalog.ts";
import { FIELDS, KNOWN_FIELDS } from "../notification/intent_fields.ts";
import { parseKeepingNumbers, writtenNumber } from "../notification/json_numbers.ts";
import { checkedFields } from "../producer/checked_fields.ts";
import { IntentRefused } from "../producer/intent_refused.ts";
import { type Arguments, atMost, type Command, COMMAND_EXIT, CommandFailed, print, printJson } from "./command.ts";
import { readCatalog } from "./settings.ts";
import { commandLine } from "./redis_cli.ts";

export const command: Command = {
  usage: "encode-intent [<options>] < intent.json",
  help: `
Reads one intent as JSON, checks it by the rules of the service, and prints the
XADD that sends it, in the form that redis-cli reads from its standard input,
whatever the intent's size and characters:

  notification-service encode-intent < intent.json | redis-cli

redis-cli prints the entry's id or the error, and its exit code is 0 in either
case.

The intent's members are the fields of the stream entry; instead of
recipient_user_ids_json and payload_json it may have recipient_user_ids (an
array) and payload (an object, whose numbers stay as they are written):

  {"notification_type": "game.turn.ready", "producer": "game-master",
   "audience_kind": "user", "recipient_user_ids": ["u1"],
   "idempotency_key": "turn-g7-12", "occurred_at_ms": 1767225600000,
   "payload": {"game_id": "g7", "game_name": "Seven", "turn_number": 12}}

--stream <name>  the intent stream (NOTIFICATION_INTENTS_STREAM, or
                 notification:intents)
--json           {"arguments": ["XADD", …]}

An intent that would be malformed ends with exit code 65 and the reason.`,
  options: { stream: { type: "string" }, json: { type: "boolean" } },
  run,
};

/** Members that stand for a field of JSON text. */
const AS_VALUES: Readonly<Record<string, string>> = {
  recipient_user_ids: "recipient_user_ids_json",
  payload: "payload_json",
};

async function run(args: Arguments): Promise<number> {
  atMost(args, 0);
  const { catalog, problems } = readCatalog();
  if (catalog === undefined) {
    const lines = problems.length > 0 ? problems : ["NOTIFICATION_CATALOG_FILE can't be read"];
    throw new CommandFailed(COMMAND_EXIT.configuration, lines.join("\n"));
  }
  const { INTENTS_STREAM } = readValues(readEnvironment()).values;
  const stream = args.value("stream") ?? INTENTS_STREAM;
  if (stream === undefined) {
    throw new CommandFailed(COMMAND_EXIT.configuration, "NOTIFICATION_INTENTS_STREAM is not the name of a stream");
  }
  const fields = encodeText(await readInput(), catalog);
  const words = ["XADD", stream, "*", ...fields];
  if (args.flag("json")) printJson({ arguments: words });
  else print([commandLine(words)]);
  return COMMAND_EXIT.ok;
}

async function readInput(): Promise<string> {
  const bytes = await new Response(Deno.stdin.readable).bytes();
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw refused("not UTF-8 text");
  }
}

/** @throws CommandFailed with what is wrong with the intent */
export function encodeText(text: string, catalog: Catalog): string[] {
  try {
    return checkedFields(fieldsOf(parse(text)), catalog);
  } catch (error) {
    if (error instanceof IntentRefused) throw refused(`${error.code}: ${error.message}`);
    throw error;
  }
}

function fieldsOf(intent: unknown): Record<string, string | undefined> {
  if (typeof intent !== "object" || intent === null || Array.isArray(intent) || writtenNumber(intent) !== undefined) {
    throw refused("not a JSON object");
  }
  const given = new Map<string, string>();
  for (const [name, value] of Object.entries(intent)) {
    const field = AS_VALUES[name] ?? name;
    if (!KNOWN_FIELDS.has(field)) throw refused(`unknown member ${JSON.stringify(name)}`);
    if (given.has(field)) throw refused(`${field} is given twice, as text and as a value`);
    if (value === null) continue;
    given.set(field, field !== name || typeof value !== "string" ? JSON.stringify(value) : value);
  }
  return Object.fromEntries(FIELDS.map((name) => [name, given.get(name)]));
}

function parse(text: string): unknown {
  try {
    return parseKeepingNumbers(text);
  } catch (error) {
    throw refused(`not JSON: ${(error as Error).message}`);
  }
}

function refused(message: string): CommandFailed {
  return new CommandFailed(COMMAND_EXIT.invalidInput, message);
}
