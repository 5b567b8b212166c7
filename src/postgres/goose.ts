/**
 * A migration file in goose's format → its statements. Pure.
 *
 * Statements end where goose ends them: at a line whose last word before a comment ends with `;`, or at StatementEnd.
 * Text that goose would read differently, or that is not supported, is refused.
 * https://pressly.github.io/goose/documentation/annotations/
 */
export interface Migration {
  readonly version: number;
  /** The file's name. */
  readonly name: string;
  readonly up: readonly string[];
  readonly down: readonly string[];
  /** `false` if the file contains `-- +goose NO TRANSACTION`. */
  readonly inTransaction: boolean;
}

/** @throws when the file does not have this format, which is a defect of the executable */
export function parseMigration(name: string, text: string): Migration {
  const fail = (line: number, problem: string) => new Error(`Migration ${name}, line ${line}: ${problem}`);
  const sections: Record<"Up" | "Down", string[]> = { Up: [], Down: [] };
  let section: "Up" | "Down" | undefined;
  let inTransaction = true;
  let statement: string[] = [];
  let blockBegan = 0;
  let number = 0;

  const endStatement = () => {
    if (section !== undefined) sections[section].push(statement.join("\n").trim());
    statement = [];
  };
  const annotate = (annotation: string) => {
    if (blockBegan > 0 && annotation !== "StatementEnd") throw fail(number, `${annotation} inside a statement's block`);
    if (blockBegan === 0 && statement.length > 0) throw fail(number, "the statement before it lacks its semicolon");
    switch (annotation) {
      case "Up":
      case "Down":
        if (annotation === (section ?? "Down")) throw fail(number, `${annotation} where it can't stand`);
        if (section === "Down") throw fail(number, "Up after Down");
        section = annotation;
        break;
      case "StatementBegin":
        if (section === undefined) throw fail(number, "StatementBegin before Up");
        blockBegan = number;
        break;
      case "StatementEnd":
        if (blockBegan === 0) throw fail(number, "StatementEnd without StatementBegin");
        blockBegan = 0;
        endStatement();
        break;
      case "NO TRANSACTION":
        inTransaction = false;
        break;
      default:
        throw fail(number, `the annotation ${JSON.stringify(annotation)} is not supported`);
    }
  };

  for (const line of text.split(/\r?\n/)) {
    number++;
    const annotation = /^--\s*\+goose\s+(.*?)\s*$/.exec(line)?.[1];
    if (annotation !== undefined) {
      annotate(annotation);
      continue;
    }
    const isBlank = line.trim() === "" || line.trimStart().startsWith("--");
    if (statement.length === 0 && isBlank) continue;
    if (section === undefined) throw fail(number, "a statement before Up");
    statement.push(line);
    if (blockBegan === 0 && endsWithSemicolon(line)) endStatement();
  }
  if (blockBegan > 0) throw fail(blockBegan, "StatementBegin without StatementEnd");
  if (statement.length > 0) throw fail(number, "the last statement lacks its semicolon");
  if (section === undefined) throw fail(number, "there is no Up");
  return { version: versionOf(name), name, up: sections.Up, down: sections.Down, inTransaction };
}

function versionOf(name: string): number {
  const version = Number(/^(\d+)_.+\.sql$/.exec(name)?.[1]);
  if (!Number.isSafeInteger(version) || version < 1) {
    throw new Error(`Migration ${name}: its name should be a version from 1, an underscore, words and .sql`);
  }
  return version;
}

/** Like goose, which ignores quotes: a word that starts with `--` begins a comment. */
function endsWithSemicolon(line: string): boolean {
  const words = line.trim().split(/\s+/);
  const comment = words.findIndex((word) => word.startsWith("--"));
  return (comment === -1 ? words : words.slice(0, comment)).at(-1)?.endsWith(";") ?? false;
}
