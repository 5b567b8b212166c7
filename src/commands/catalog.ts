/** `catalog`: which types exist, who may send them to whom, and whether a file is a valid catalog. */
import { readTextFile } from "../config/env.ts";
import { type Catalog, loadCatalog } from "../notification/catalog.ts";
import {
  type Arguments,
  atMost,
  choice,
  type Command,
  COMMAND_EXIT,
  CommandFailed,
  print,
  printJson,
  usageError,
} from "./command.ts";
import { readCatalog } from "./settings.ts";
import { paint, wrap } from "./terminal.ts";

export const command: Command = {
  usage: "catalog show | validate <file> [--json]",
  help: `
show      the catalog in use: the embedded one, or NOTIFICATION_CATALOG_FILE
validate  whether a file is a valid catalog; every problem with its place in the
          file (JSON Pointer); exit code 65 if not

--json: show prints the catalog in the form of NOTIFICATION_CATALOG_FILE:
{"types": {<name>: {"description", "producers", "audiences", "payload"}}};
validate {"valid", "types": [name], "problems": [text]}`,
  options: { json: { type: "boolean" } },
  run,
};

function run(args: Arguments): Promise<number> {
  const action = choice(args.positionals[0], ["show", "validate"], "action");
  if (action === "show") {
    atMost(args, 1);
    return Promise.resolve(show(args));
  }
  const file = args.positionals[1];
  if (file === undefined) throw usageError("which file?");
  atMost(args, 2);
  return Promise.resolve(validate(file, args));
}

function show(args: Arguments): number {
  const { catalog, problems } = readCatalog();
  if (catalog === undefined) {
    const lines = problems.length > 0 ? problems : ["NOTIFICATION_CATALOG_FILE can't be read"];
    throw new CommandFailed(COMMAND_EXIT.configuration, lines.join("\n"));
  }
  if (args.flag("json")) printJson({ types: asFile(catalog) });
  else print([...catalog.values()].flatMap(typeLines));
  return COMMAND_EXIT.ok;
}

/** A catalog in the form of its file: the output of `show --json` is a valid catalog file. */
function asFile(catalog: Catalog): Record<string, unknown> {
  return Object.fromEntries([...catalog.values()].map((type) => [type.name, {
    description: type.description,
    producers: type.producers,
    audiences: type.audiences,
    payload: type.payloadSchema,
  }]));
}

function typeLines(type: Catalog extends ReadonlyMap<string, infer Type> ? Type : never): string[] {
  const audiences = Object.entries(type.audiences).map(([kind, channels]) => `${kind} → ${channels.join(", ")}`);
  const required = type.payloadSchema["required"];
  const members = Array.isArray(required) && required.length > 0 ? required.join(", ") : "none";
  return [
    paint("bold", type.name),
    ...wrap(`${type.description || "(no description)"}; from ${type.producers.join(", ")}`, 2),
    ...wrap(`to ${audiences.join("; ")}`, 2),
    ...wrap(`required members: ${members}`, 2),
  ];
}

function validate(file: string, args: Arguments): number {
  const content = readTextFile(file);
  if (content.kind === "unreadable") {
    throw new CommandFailed(COMMAND_EXIT.invalidInput, `the file ${file} ${content.reason}`);
  }
  const loaded = loadCatalog(content.text);
  const types = loaded.kind === "ok" ? [...loaded.catalog.keys()] : [];
  const problems = loaded.kind === "ok" ? [] : loaded.problems;
  if (args.flag("json")) printJson({ valid: loaded.kind === "ok", types, problems });
  else if (loaded.kind === "ok") print([`${paint("green", "✓")} ${types.length} types`]);
  else print(problems.flatMap((problem) => wrap(problem, 2)));
  return loaded.kind === "ok" ? COMMAND_EXIT.ok : COMMAND_EXIT.invalidInput;
}
