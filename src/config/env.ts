/**
 * The first step of configuration: the process's environment and the files that its *_FILE variables name go in, plain
 * strings come out. The only file of the program that touches Deno.env; it decides nothing.
 * Never throws on what the environment holds: a file that can't be read is a value too. The result holds secrets.
 */
import { Buffer } from "node:buffer";

import { deprecatedVariables, fileForm, prefix, variableList } from "./variables.ts";

export interface Environment {
  /** Every NOTIFICATION_* variable that is defined, by its full name. */
  readonly variables: Readonly<Record<string, string>>;
  /** Full names of variables that are defined with bytes which are not UTF-8, among those asked about. */
  readonly notUtf8: readonly string[];
  /** What was found in the files, by the full name of the variable that names the file. */
  readonly files: Readonly<Record<string, FileContent>>;
  /** What a file holds at the time of the call; absent where files are not read. */
  readonly readFile?: (path: string) => FileContent;
}

export type FileContent =
  /** Without a byte order mark at its beginning. */
  | { readonly kind: "read"; readonly text: string }
  /** `reason` completes "the file …". */
  | { readonly kind: "unreadable"; readonly reason: string };

export type EnvironmentSource = Pick<Deno.Env, "toObject" | "has">;

export function readEnvironment(source: EnvironmentSource = Deno.env): Environment {
  const variables = Object.fromEntries(
    Object.entries(source.toObject()).filter(([name]) => name.startsWith(prefix)),
  );
  const files = Object.fromEntries(
    fileVariables.filter((name) => variables[name]).map((name) => [name, readTextFile(variables[name] ?? "")]),
  );
  return { variables, notUtf8: knownNames.filter((name) => isNotUtf8(source, name)), files, readFile: readTextFile };
}

/** The same, asked about more names: those that come from the catalog. */
export function withNames(
  environment: Environment,
  names: readonly string[],
  source: EnvironmentSource = Deno.env,
): Environment {
  return { ...environment, notUtf8: [...environment.notUtf8, ...names.filter((name) => isNotUtf8(source, name))] };
}

export type CatalogText =
  | { readonly kind: "embedded" }
  | { readonly kind: "file"; readonly path: string; readonly text: string }
  /** parseConfig() reports it. */
  | { readonly kind: "unreadable" };

/** The text of the catalog that CATALOG_FILE names; `embedded` if it names none. */
export function catalogText(environment: Environment): CatalogText {
  const name = `${prefix}CATALOG_FILE`;
  const [path, content] = [environment.variables[name], environment.files[name]];
  if (!path || content === undefined) return { kind: "embedded" };
  return content.kind === "read" ? { kind: "file", path, text: content.text } : { kind: "unreadable" };
}

const secretFiles = variableList.filter(([, variable]) => variable.secret).map(([name]) => prefix + fileForm(name));
const namedFiles = variableList.filter(([, variable]) => variable.namesFile).map(([name]) => prefix + name);
const fileVariables = [...secretFiles, ...namedFiles];
const knownNames = [
  ...variableList.map(([name]) => prefix + name),
  ...secretFiles,
  ...Object.keys(deprecatedVariables).map((name) => prefix + name),
];

/** Deno leaves a variable that isn't UTF-8 out of toObject() without a word, and throws when asked for it by name. */
function isNotUtf8(source: EnvironmentSource, name: string): boolean {
  try {
    source.has(name);
    return false;
  } catch (error) {
    if (error instanceof Deno.errors.InvalidData) return true;
    throw error;
  }
}

/** Bounds what a path such as /dev/zero can do. */
const largestFile = 16 * 1024 * 1024;

/** UTF-8 text of at most 16 MiB. Never throws. */
export function readTextFile(path: string): FileContent {
  try {
    using file = Deno.openSync(path);
    if (file.statSync().isDirectory) return { kind: "unreadable", reason: "is a directory" };
    const bytes = readAtMost(file, largestFile + 1);
    if (bytes.length > largestFile) return { kind: "unreadable", reason: "is larger than 16 MiB" };
    return { kind: "read", text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch (error) {
    return { kind: "unreadable", reason: reasonOf(error) };
  }
}

function readAtMost(file: Deno.FsFile, limit: number): Buffer<ArrayBuffer> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  for (let length = 0; length < limit;) {
    const chunk = new Uint8Array(Math.min(65_536, limit - length));
    const count = file.readSync(chunk);
    if (count === null) break;
    chunks.push(chunk.subarray(0, count));
    length += count;
  }
  return Buffer.concat(chunks);
}

/** In our own words: the system's message may repeat the path, and the path may be a secret put there by mistake. */
function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "does not exist";
  if (error instanceof Deno.errors.PermissionDenied) return "may not be read by this user";
  if (error instanceof Deno.errors.NotCapable) return "may not be read: Deno was not given --allow-read for it";
  if (error instanceof Deno.errors.IsADirectory) return "is a directory";
  if (error instanceof TypeError) return "is not UTF-8 text";
  const code = error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : "unknown error";
  return `cannot be read (${code})`;
}
