/** A migration file in goose's format → its statements. Pure. https://github.com/pressly/goose#sql-migrations */

export interface Migration {
  readonly version: number;
  /** The file's name. */
  readonly name: string;
  readonly up: readonly string[];
  readonly down: readonly string[];
}

/** @throws when the file isn't of the format: that is a defect of the executable */
export function parseMigration(name: string, text: string): Migration {
  const version = Number(/^(\d+)_.*\.sql$/.exec(name)?.[1]);
  if (!Number.isSafeInteger(version) || version < 1) throw new Error(`Migration ${name} has no version in its name`);
  const sections: Record<"up" | "down", string[]> = { up: [], down: [] };
  let section: string[] | undefined;
  let statement = "";
  let isBlock = false;
  const endStatement = () => {
    if (statement.trim() !== "") section?.push(statement.trim());
    statement = "";
  };
  for (const line of text.split("\n")) {
    const annotation = /^\s*--\s*\+goose\s+(.+?)\s*$/.exec(line)?.[1];
    if (annotation === undefined) {
      if (section === undefined) continue;
      if (!isBlock && line.trim().startsWith("--")) continue;
      statement += line + "\n";
      if (!isBlock && line.trimEnd().endsWith(";")) endStatement();
      continue;
    }
    switch (annotation) {
      case "Up":
      case "Down":
        if (statement.trim() !== "") throw new Error(`Migration ${name} has a statement without an end`);
        section = annotation === "Up" ? sections.up : sections.down;
        break;
      case "StatementBegin":
        isBlock = true;
        break;
      case "StatementEnd":
        isBlock = false;
        endStatement();
        break;
      default:
        throw new Error(`Migration ${name} has an annotation that is not supported: ${annotation}`);
    }
  }
  if (isBlock || statement.trim() !== "") throw new Error(`Migration ${name} has a statement without an end`);
  if (sections.up.length === 0) throw new Error(`Migration ${name} has no statement under Up`);
  return { version, name, up: sections.up, down: sections.down };
}
