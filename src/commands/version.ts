/** `version`: the versions in this executable. scripts/compile.ts writes the commit into it. */
import denoJson from "../../deno.json" with { type: "json" };
import { type Arguments, atMost, type Command, COMMAND_EXIT, print, printJson } from "./command.ts";
import { list } from "./terminal.ts";

export const VERSION: string = denoJson.version;

/** Beside main.ts in the executable; when run from source it is missing, or from an earlier compilation. */
export const BUILD_FILE = "dist/build.json";

export const command: Command = {
  usage: "version [--json]",
  help: `
Prints version, commit and runtime.

--json: {"version", "commit", "deno", "target"}; commit is null from source.`,
  options: { json: { type: "boolean" } },
  async run(args: Arguments): Promise<number> {
    atMost(args, 0);
    const facts = {
      version: VERSION,
      commit: await embeddedCommit(),
      deno: Deno.version.deno,
      target: Deno.build.target,
    };
    if (args.flag("json")) printJson(facts);
    else {
      print([
        `notification-service ${facts.version}`,
        ...list([
          ["commit", facts.commit ?? "not compiled: runs from source"],
          ["runtime", `Deno ${facts.deno}`],
          ["target", facts.target],
        ], { margin: 2 }),
      ]);
    }
    return COMMAND_EXIT.ok;
  },
};

async function embeddedCommit(): Promise<string | null> {
  if (!Deno.build.standalone) return null;
  const { commit } = JSON.parse(await Deno.readTextFile(new URL(`../../${BUILD_FILE}`, import.meta.url)));
  return typeof commit === "string" ? commit : null;
}
