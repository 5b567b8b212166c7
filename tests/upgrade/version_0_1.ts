/**
 * This clone's git history → the source of version 0.1 in a temporary folder, ready to run.
 *
 * The folder is deleted when it is disposed of. A clone without that commit is a clear error, never a skipped test.
 */
import { outputOf } from "../../scripts/command_output.ts";
import { resolve } from "node:path";

/** "version 0.1": the last commit before claims became time. */
const COMMIT = "706e03c5854905cd4289d513fb26ce22b2f93274";
const REPOSITORY = resolve(import.meta.dirname ?? ".", "../..");

export interface OldVersion extends AsyncDisposable {
  /** The folder of `main.ts` and `deno.json`. */
  readonly root: string;
}

/** @throws when this is not a clone, or a clone without that commit */
export async function provideVersion01(): Promise<OldVersion> {
  await needCommit();
  const root = await Deno.makeTempDir({ prefix: "notification-0.1-" });
  const archive = `${root}.tar`;
  try {
    await outputOf("git", ["-C", REPOSITORY, "archive", `--output=${archive}`, COMMIT]);
    await outputOf("tar", ["-x", "-f", archive, "-C", root]);
    // Its packages, so that no start waits for a download.
    await outputOf(Deno.execPath(), ["install", "--quiet", "--frozen", "--entrypoint", "main.ts"], { cwd: root });
  } catch (error) {
    await Deno.remove(root, { recursive: true });
    throw error;
  } finally {
    await Deno.remove(archive).catch(() => {}); // git may have failed before it
  }
  return { root, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}

async function needCommit(): Promise<void> {
  try {
    await outputOf("git", ["-C", REPOSITORY, "cat-file", "-e", `${COMMIT}^{commit}`]);
  } catch (cause) {
    throw new Error(
      `The upgrade tests run version 0.1, commit ${COMMIT.slice(0, 7)}, which ${REPOSITORY} does not have: ` +
        "run them in a full clone (git fetch --unshallow)",
      { cause },
    );
  }
}
