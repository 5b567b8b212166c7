/**
 * The environment → the value of each variable of the table, and one line for each variable without a valid value.
 *
 * An empty variable counts as not set: a required one is a problem, any other has its default. (Compose files and unit
 * files pass `X=` for "not set".) No message repeats a value; a path is shown only if it can't be a secret.
 */
import type { Environment, FileContent } from "./env.ts";
import { isOneLine } from "./forms.ts";
import { Secret } from "./secret.ts";
import { deprecatedVariables, fileForm, prefix, type Values, type Variable, variableList } from "./variables.ts";

export interface ReadValues {
  /** Complete if there are no problems. */
  readonly values: Partial<Values>;
  readonly problems: readonly string[];
}

export function readValues(environment: Environment): ReadValues {
  const values: Record<string, unknown> = {};
  const problems = deprecatedProblems(environment);
  for (const [name, variable] of variableList) {
    const read = readValue(environment, { name, variable });
    if (read.kind === "ok") values[name] = read.value;
    else problems.push(read.problem);
  }
  // Each value was made by the form of its own row, from which the type Values is derived.
  return { values: values as Partial<Values>, problems };
}

function deprecatedProblems({ variables, notUtf8 }: Environment): string[] {
  return Object.entries(deprecatedVariables)
    .map(([name, reason]) => ({ name: prefix + name, reason }))
    .filter(({ name }) => variables[name] !== undefined || notUtf8.includes(name))
    .map(({ name, reason }) => `${name} is deprecated and should not be defined, not even empty: ${reason}`);
}

type ReadValue = { readonly kind: "ok"; readonly value: unknown } | {
  readonly kind: "refused";
  readonly problem: string;
};

interface Row {
  readonly name: string;
  readonly variable: Variable;
}

function readValue(environment: Environment, row: Row): ReadValue {
  const { variable } = row;
  const [name, fileName] = [prefix + row.name, prefix + fileForm(row.name)];
  const broken = [name, fileName].find((each) => environment.notUtf8.includes(each));
  if (broken !== undefined) return refused(`${broken} should be UTF-8 text`);

  const text = environment.variables[name] ?? "";
  const path = variable.secret ? environment.variables[fileName] ?? "" : "";
  if (text !== "" && path !== "") return refused(`${name} and ${fileName} should not both be set: keep one of them`);
  if (path !== "") return readFromFile(environment, { ...row, fileName, path });
  if (text === "" && variable.required) {
    const orFile = variable.secret ? ` (or ${fileName} with the path of a file that holds it)` : "";
    return refused(`${name} is required and should be ${variable.form.expected}${orFile}`);
  }

  const value = variable.form.parse(variable.required ? text : text || variable.default);
  if (value === undefined) return refused(`${name} should be ${variable.form.expected}${hint(text)}`);
  const content = variable.namesFile ? environment.files[name] : undefined;
  if (content?.kind === "unreadable") return refused(unreadable(name, `"${text}"`, content.reason));
  return { kind: "ok", value };
}

function readFromFile(
  environment: Environment,
  row: Row & { readonly fileName: string; readonly path: string },
): ReadValue {
  const { variable, fileName, path } = row;
  const content = environment.files[fileName] ?? { kind: "unreadable", reason: "was not read" };
  if (content.kind === "unreadable") return refused(unreadable(fileName, shownPath(path), content.reason));
  const text = withoutNewline(content.text);
  const value = variable.form.parse(text);
  if (value instanceof Secret) {
    const source = () => secretIn(variable, environment.readFile?.(path));
    return { kind: "ok", value: new Secret(value.reveal(), source) };
  }
  if (value !== undefined) return { kind: "ok", value };
  return refused(`${fileName} should name a file whose content is ${variable.form.expected}${hint(text)}`);
}

/** The current content of the file, if it is a secret of the variable's form. */
function secretIn(variable: Variable, content: FileContent | undefined): string | undefined {
  const value = content?.kind === "read" ? variable.form.parse(withoutNewline(content.text)) : undefined;
  return value instanceof Secret ? value.reveal() : undefined;
}

const withoutNewline = (text: string): string => text.replace(/\r?\n$/, "");

const refused = (problem: string): ReadValue => ({ kind: "refused", problem });

const unreadable = (name: string, path: string, reason: string): string =>
  `${name} should name a readable file, but ${path} ${reason}`;

/**
 * An operator may set *_FILE to the password or DSN itself. So a value is shown only if it begins like a path and does
 * not break the line.
 */
function shownPath(path: string): string {
  return /^\.{0,2}\//.test(path) && isOneLine(path) ? `"${path}"` : "the file";
}

/** Names a mistake that is invisible in a terminal: a carriage return or a blank after the value. */
function hint(text: string): string {
  return text.trim() === text ? "" : " (there is white space at its start or end)";
}
