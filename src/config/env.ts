/**
 * The process's environment and the files that its variables name → plain strings, which may be secrets. The first step
 * of configuration; nothing is checked here.
 *
 * Never throws, whatever the environment contains: a file that can't be read is a value too. No other file reads
 * NOTIFICATION_* variables.
 */
import { Buffer } from "node:buffer";

import { deprecatedVariables, fileForm, prefix, variableList } from "./variables.ts";

export interface Environment {
  /** Every NOTIFICATION_* variable that is defined, by its full name. */
  readonly variables: Readonly<Record<string, string>>;
  /** Full names of those known variables whose bytes are not UTF-8. */
  readonly notUtf8: readonly string[];
  /** The content of each file, by the full name of the variable that names the file. */
  readonly files: Readonly<Record<string, FileContent>>;
  /** Returns what a file contains at the time of the call; absent if files are not read. */
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

/** The same environment, with more known names: those that are derived from the catalog. */
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

/** Deno silently omits a variable that is not UTF-8 from toObject(), and throws if it is requested by name. */
function isNotUtf8(source: EnvironmentSource, name: string): boolean {
  try {
    source.has(name);
    return false;
  } catch (error) {
    if (error instanceof Deno.errors.InvalidData) return true;
    throw error;
  }
}

/** Bounds the reading of a path such as /dev/zero. */
const maxFileBytes = 16 * 1024 * 1024;

/** UTF-8 text of at most 16 MiB. Never throws. */
export function readTextFile(path: string): FileContent {
  try {
    using file = Deno.openSync(path);
    if (file.statSync().isDirectory) return { kind: "unreadable", reason: "is a directory" };
    const bytes = readAtMost(file, maxFileBytes + 1);
    if (bytes.length > maxFileBytes) return { kind: "unreadable", reason: "is larger than 16 MiB" };
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

/** Without the system's message, which may repeat the path: the path may be a secret that was set by mistake. */
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
