/**
 * The Markdown pages of the repository → every link whose file or heading does not exist.
 *
 * Links to other hosts are not followed. Links in code blocks and code spans are ignored.
 */
import assert from "node:assert/strict";

const ROOT = new URL("../", import.meta.url);

Deno.test("every link of a page leads to an existing file and heading", async () => {
  const pages = [...pagesBelow("docs/"), ...namesIn("").filter((name) => name.endsWith(".md"))];
  assert.ok(pages.includes("README.md") && pages.includes("docs/decisions/README.md"));
  const broken = (await Promise.all(pages.map(brokenLinks))).flat();
  assert.deepEqual(broken, []);
});

Deno.test("headingIds() returns the ids that GitHub and similar hosts give to headings", () => {
  const text = "# One\n\n## A `code`, and more!\n\n```sh\n# no heading\n```\n\n## Twice\n\n## Twice\n";
  assert.deepEqual([...headingIds(text)], ["one", "a-code-and-more", "twice", "twice-1"]);
});

Deno.test("linksIn() ignores links in code", () => {
  assert.deepEqual(linksIn("[a](b.md#c) `[d](e)` [`f`](g)\n```\n[h](i)\n```\n[j](https://k.example)\n"), [
    "b.md#c",
    "g",
  ]);
});

function pagesBelow(folder: string): string[] {
  return namesIn(folder).flatMap((name) => {
    if (name.endsWith("/")) return pagesBelow(`${folder}${name}`);
    return name.endsWith(".md") ? [`${folder}${name}`] : [];
  });
}

/** Paths of folders end with a slash. */
function namesIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].map(({ name, isDirectory }) => isDirectory ? `${name}/` : name);
}

async function brokenLinks(page: string): Promise<string[]> {
  const at = new URL(page, ROOT);
  const links = linksIn(await Deno.readTextFile(at));
  const reasons = await Promise.all(links.map((link) => problemOf(new URL(link, at))));
  return reasons.flatMap((reason, index) => reason === undefined ? [] : [`${page}: ${links[index]}: ${reason}`]);
}

function linksIn(text: string): string[] {
  const links = withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g);
  return [...links].map(([, link]) => link!).filter((link) => !/^[a-z]+:/.test(link));
}

async function problemOf(target: URL): Promise<string | undefined> {
  const file = new URL(target);
  file.hash = "";
  const { isFile } = await Deno.stat(file).catch(() => ({ isFile: undefined }));
  if (isFile === undefined) return "no such file";
  if (target.hash === "" || !isFile) return undefined;
  const ids = headingIds(await Deno.readTextFile(file));
  return ids.has(target.hash.slice(1)) ? undefined : "no such heading";
}

function headingIds(text: string): Set<string> {
  const ids = new Set<string>();
  for (const [, heading] of text.replaceAll(CODE_BLOCK, "").matchAll(/^#+ (.*)$/gm)) {
    const id = heading!.toLowerCase().replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, "").replaceAll(" ", "-");
    let unique = id;
    for (let count = 1; ids.has(unique); count++) unique = `${id}-${count}`;
    ids.add(unique);
  }
  return ids;
}

const CODE_BLOCK = /^```.*?^```$/gms;

/** Removes the text of code spans; a link around a code span stays a link. */
function withoutCode(text: string): string {
  return text.replaceAll(CODE_BLOCK, "").replaceAll(/`[^`\n]*`/g, "");
}
