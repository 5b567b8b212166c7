/** `set-aside`: makes intake pass over one entry. Writes only to PostgreSQL, after a confirmation. */
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
  usage: "set-aside <entry id> --reason <text> [<options>]",
  help: `
Makes intake pass over an entry of the intent stream: the entry is recorded as
malformed with the code set_aside and the reason, and intake continues with the
next entry at its next try. The producer may send the intent again, under the
same idempotency key.

The command status shows at which entry intake waits, and why. An entry that
Redis can't read in time or PostgreSQL can't store may be set aside too: such
fields are left out. Exit code 1, and nothing is changed, if the entry already
has an outcome, or if the stream has no such entry.

--reason <text>  why; kept with the entry (500 characters)
--yes            without a confirmation; needed without a terminal

--json: {"set_aside": {"stream", "stream_entry_id", "failure_message",
"has_fields": whether the row has the entry's fields,
"is_passed": whether intake has passed it; if not, entries before it wait too}}`,
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
    throw usageError("set-aside asks for a confirmation: without a terminal use --yes");
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
    throw usageError("--reason is missing: it is kept with the entry");
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
  if (entry === "unreadable") return [["fields", "can't be read: Redis takes too long"]];
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
    `${entryId} already has an outcome: ${outcome}; see notification-service inspect intent ${entryId}`,
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
    ? "Intake continues with the next entry."
    : "Entries before it wait too: intake passes over it when it reaches it.";
  return hasFields ? next : `${next} Its fields are not kept: they could not be read or stored.`;
}
