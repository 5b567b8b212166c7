/**
 * The configuration table of README.md, made from the one table of variables.
 *
 * `deno run --allow-read --allow-write scripts/configuration_table.ts` writes it anew; a test keeps it current.
 */
import { administratorEmails, fileForm, prefix, variableList } from "../src/config/variables.ts";

const BEGIN = "<!-- configuration: made by scripts/configuration_table.ts -->";
const END = "<!-- /configuration -->";
export const README = new URL("../README.md", import.meta.url);

export function configurationTable(): string {
  const rows = variableList.map(([name, variable]) => {
    const standard = variable.required ? "**required**" : variable.default === "" ? "" : `\`${variable.default}\``;
    const file = variable.secret ? `, or the file that \`${prefix}${fileForm(name)}\` names` : "";
    return `| \`${prefix}${name}\` | ${standard} | ${variable.meaning}${file} |`;
  });
  rows.push(`| \`${prefix}${administratorEmails.name}\` | | ${administratorEmails.meaning} |`);
  return ["| Variable | Default | Meaning |", "| --- | --- | --- |", ...rows].join("\n");
}

/** The README's text with the table as it should be. */
export function withTable(readme: string): string {
  const [before, rest] = readme.split(BEGIN) as [string, string];
  return `${before}${BEGIN}\n${configurationTable()}\n${END}${rest.split(END)[1]}`;
}

if (import.meta.main) await Deno.writeTextFile(README, withTable(await Deno.readTextFile(README)));
