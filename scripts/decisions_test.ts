/** The pages of docs/decisions: each has its date, alternatives and a measurement, and a line in the list of pages. */
import assert from "node:assert/strict";

const FOLDER = new URL("../docs/decisions/", import.meta.url);
const PAGES = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) => name !== "README.md").sort();
const SECTIONS = ["Context", "Decision", "Alternatives", "Measurement"];

Deno.test("decisions are numbered without gaps", () => {
  assert.deepEqual(PAGES.map((page) => Number(/^(\d\d)-\w+\.md$/.exec(page)?.[1])), PAGES.map((_, index) => index + 1));
});

Deno.test("each decision has a date, alternatives and a measurement, in the same order", () => {
  const incomplete = PAGES.flatMap((page) =>
    problemsOf(Deno.readTextFileSync(new URL(page, FOLDER))).map((problem) => `${page}: ${problem}`)
  );
  assert.deepEqual(incomplete, []);
});

Deno.test("the list of decisions has each page with its title and date", () => {
  const list = Deno.readTextFileSync(new URL("README.md", FOLDER)).replaceAll(/\s+/g, " ");
  for (const page of PAGES) {
    const text = Deno.readTextFileSync(new URL(page, FOLDER));
    const [, title, date] = /^# (.+)\n\nDate: (\d{4}-\d\d-\d\d)/.exec(text) ?? [];
    assert.ok(list.includes(`- [${title}](${page}) (${date})`), `${page}: ${title} (${date}) is not in the list`);
  }
});

Deno.test("problemsOf() names what a page lacks", () => {
  const page = (...sections: string[]) => ["# 1. A\n\nDate: 2026-01-31 · Status: accepted", ...sections].join("\n\n");
  const all = SECTIONS.map((section) => `## ${section}\n\nText.`);
  assert.deepEqual(problemsOf(page(...all, "## Consequences\n\nText.")), []);
  assert.deepEqual(problemsOf(page(...all).replace("Date: ", "")), ["no date"]);
  assert.deepEqual(problemsOf(page(...all.slice(0, 3))), ["no section Measurement"]);
  assert.deepEqual(problemsOf(page(...all.slice(0, 3), "## Measurement\n")), ["the section Measurement is empty"]);
  assert.deepEqual(problemsOf(page(all[0]!, all[1]!, all[3]!, all[2]!)), ["other order of sections"]);
});

function problemsOf(text: string): string[] {
  const problems = /^# \d+\. .+\n\nDate: \d{4}-\d\d-\d\d\b.* · Status: \w/.test(text) ? [] : ["no date"];
  const sections = text.split(/^## /m).slice(1).map((section) => /^(.*)\n([^]*)$/.exec(section)!.slice(1));
  const names = sections.map(([name]) => name!).filter((name) => SECTIONS.includes(name));
  for (const name of SECTIONS) {
    if (!names.includes(name)) problems.push(`no section ${name}`);
    else if (sections.find((section) => section[0] === name)![1]!.trim() === "") {
      problems.push(`the section ${name} is empty`);
    }
  }
  if (problems.length === 0 && names.join() !== SECTIONS.join()) problems.push("other order of sections");
  return problems;
}
