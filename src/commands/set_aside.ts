/** `set-aside`: takes one entry out of intake's way. Writes to PostgreSQL alone, after a confirmation. */
import type { Config } from "../config/config.ts";
import type { StreamEntry } from "../notification/stream_entry.ts";
import { isEntryId } from "../redis/entry_ids.ts";
import {
  type Arguments,
  atMost,
  type Command,
  COMMAND_EXIT,
  CommandFailed,
  print,
  printError,
  printJson,
  usageError,
} from "./command.ts";
import { readEntryToSetAside, type SetAsideResult, setEntryAside } from "./set_entry_aside.ts";
import { settingsOrFail } from "./settings.ts";
import { type Stores, withStores } from "./stores.ts";
import { list, wrap } from "./terminal.ts";

export const command: Command = {
  usage: "set-aside <entry id> --reason <text> [--yes] [--json]",
  help: `
Takes an entry of the intent stream out of intake's way: it is recorded as
malformed with the code set_aside and the reason, and intake goes on with the
next entry at its next try. The producer may send the intent again, under the
same idempotency key.

Which entry intake waits for, and why: status. Also for an entry that Redis or
PostgreSQL can't deal with: what can't be read or stored of its fields is left
out. Exit code 1, and nothing is changed, if the entry has an outcome already,
or if the stream has no such entry.

--reason <text>  why, for whoever reads it later (500 characters)
--yes            without asking first; needed where there is no terminal

--json: {"set_aside": {"stream", "stream_entry_id", "failure_message",
"has_fields": whether the row has the entry's fields,
"is_passed": whether intake is past it; false: entries before it wait too}}`,
  options: { reason: { type: "string" }, yes: { type: "boolean" }, json: { type: "boolean" } },
  run,
};

const MAX_REASON_CHARACTERS = 500;

async function run(args: Arguments): Promise<number> {
  const [entryId] = args.positionals;
  atMost(args, 1);
  if (entryId === undefined) throw usageError("which one? An entry id, as status shows it");
  if (!isEntryId(entryId)) throw usageError(`${JSON.stringify(entryId)} is not an entry id, such as 1767225600000-0`);
  const reason = reasonOf(args.value("reason"));
  if (!args.flag("yes") && !Deno.stdin.isTerminal()) {
    throw usageError("it asks before it changes anything: say --yes where there is no terminal");
  }
  const { config, catalog } = settingsOrFail();
  return await withStores(config, "set-aside", async (stores) => {
    const options = { stream: config.intents.stream, entryId };
    const entry = await readEntryToSetAside(stores.redis, options);
    if (entry === undefined) throw await notThere(stores, config, entryId);
    if (!args.flag("yes")) confirmed(entry, { entryId, reason });
    const result = await setEntryAside(stores, { ...options, reason, entry, catalog });
    if (result.kind === "has_outcome") throw hasOutcome(entryId, result.code);
    if (args.flag("json")) printJson(jsonOf(result, { ...options, reason }));
    else print(wrap(`${entryId} is set aside. ${whatNext(result)}`, 0));
    return COMMAND_EXIT.ok;
  });
}

function reasonOf(text: string | undefined): string {
  if (text === undefined || text.trim() === "") {
    throw usageError("--reason is missing: why, for whoever reads it later");
  }
  if ([...text].length > MAX_REASON_CHARACTERS) {
    throw usageError(`--reason is longer than ${MAX_REASON_CHARACTERS} characters`);
  }
  return text;
}

/** @throws CommandFailed unless the operator agrees */
function confirmed(entry: StreamEntry | "unreadable", { entryId, reason }: { entryId: string; reason: string }): void {
  const facts: [string, string][] = [["entry", entryId], ["reason", reason], ...factsOf(entry)];
  for (const line of list(facts, { margin: 2 })) printError(line);
  if (!confirm("Set this entry aside?")) throw new CommandFailed(COMMAND_EXIT.failed, "nothing was changed");
}

function factsOf(entry: StreamEntry | "unreadable"): [string, string][] {
  if (entry === "unreadable") return [["fields", "can't be read: Redis takes too long for them"]];
  return ["notification_type", "producer", "idempotency_key", "recipient_user_ids_json"].map((name) => {
    const value = entry.fields[entry.fields.indexOf(name) + 1];
    return [name, entry.fields.includes(name) && typeof value === "string" ? value.slice(0, 200) : "-"];
  });
}

async function notThere(
  { postgres }: Stores,
  { intents: { stream } }: Config,
  entryId: string,
): Promise<CommandFailed> {
  const { rowCount } = await postgres.query(
    "SELECT FROM notification.malformed_intents WHERE stream = $1 AND stream_entry_id = $2",
    [stream, entryId],
  );
  if (rowCount !== 0) return hasOutcome(entryId, "malformed");
  return new CommandFailed(COMMAND_EXIT.failed, `${stream} has no entry ${entryId}`);
}

function hasOutcome(entryId: string, code: string | undefined): CommandFailed {
  const outcome = code === undefined ? "it was accepted, or is a duplicate" : `it is recorded as ${code}`;
  return new CommandFailed(
    COMMAND_EXIT.failed,
    `${entryId} has an outcome already: ${outcome}; see notification-service inspect intent ${entryId}`,
  );
}

type Done = Extract<SetAsideResult, { kind: "set_aside" }>;

function jsonOf(
  { hasFields, isPassed }: Done,
  { stream, entryId, reason }: { stream: string; entryId: string; reason: string },
) {
  return {
    set_aside: {
      stream,
      stream_entry_id: entryId,
      failure_message: reason,
      has_fields: hasFields,
      is_passed: isPassed,
    },
  };
}

function whatNext({ hasFields, isPassed }: Done): string {
  const next = isPassed
    ? "Intake goes on behind it."
    : "Entries before it wait as well: intake passes it over when it comes to it.";
  return hasFields ? next : `${next} Its fields are not kept: they could not be read or stored.`;
}
