/**
 * The catalog: which notification types exist, who may send them to whom, and what their payload is.
 *
 * The embedded default and an operator's file have one format. For an invalid file, all problems
 * are returned with their places in it; a loaded catalog is always valid.
 */
import { escapeControls } from "./control_characters.ts";
import defaultCatalog from "./default_catalog.json" with { type: "json" };
import { type Channel, CHANNELS } from "./route.ts";
import { type PayloadCheck, payloadCheck, payloadChecker, valueChecker } from "./payload_schema.ts";

export const AUDIENCE_KINDS = ["user", "admin_email"] as const;
export type AudienceKind = typeof AUDIENCE_KINDS[number];

export interface CatalogType {
  readonly name: string;
  readonly description: string;
  readonly producers: readonly string[];
  /** Channels per audience; an audience that is absent is not allowed. */
  readonly audiences: Readonly<Partial<Record<AudienceKind, readonly Channel[]>>>;
  /** JSON Schema (draft 2020-12) of the payload, as it stands in the catalog. */
  readonly payloadSchema: Readonly<Record<string, unknown>>;
  readonly payloadProblem: PayloadCheck;
}

export type Catalog = ReadonlyMap<string, CatalogType>;

export type LoadedCatalog =
  | { readonly kind: "ok"; readonly catalog: Catalog }
  | { readonly kind: "broken"; readonly problems: readonly string[] };

/** A catalog's file, when {@link fileProblems} finds none. */
interface CatalogFile {
  readonly types: Readonly<Record<string, FileType>>;
}

interface FileType {
  readonly description?: string;
  readonly producers: readonly string[];
  readonly audiences: CatalogType["audiences"];
  readonly payload: CatalogType["payloadSchema"];
}

const NAME = { type: "string", minLength: 1, maxLength: 128, pattern: "^[A-Za-z0-9][A-Za-z0-9._:-]*$" };

const distinct = (items: unknown) => ({ type: "array", minItems: 1, uniqueItems: true, items });

const record = (properties: Readonly<Record<string, unknown>>, others: Readonly<Record<string, unknown>>) => ({
  ...{ type: "object", properties, additionalProperties: false },
  ...others,
});

const FILE = record({
  types: {
    type: "object",
    minProperties: 1,
    propertyNames: NAME,
    additionalProperties: record({
      description: { type: "string" },
      producers: distinct(NAME),
      audiences: record(
        {
          user: distinct({ enum: CHANNELS }),
          admin_email: distinct({ const: "email" }),
        } satisfies Record<AudienceKind, unknown>,
        { minProperties: 1 },
      ),
      payload: { type: "object" },
    }, { required: ["producers", "audiences", "payload"] }),
  },
}, { required: ["types"] });

let fileProblems: ReturnType<typeof valueChecker> | undefined;

/** Loads a catalog from the text of its JSON file. */
export function loadCatalog(text: string): LoadedCatalog {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { kind: "broken", problems: [`is not JSON: ${placeOfError(text)}`] };
  }
  return catalogOf(value);
}

/**
 * Where JSON text is wrong, and nothing else of what V8 says: that may quote the file, which may be another than was
 * meant, with a password in it.
 */
function placeOfError(text: string): string {
  const message = jsonError(text);
  const [, line, column] = /\(line (\d+) column (\d+)\)$/.exec(message) ?? [];
  if (line !== undefined) return `line ${line}, column ${column}`;
  if (!isUnexpectedToken(message)) return "it ends too early";
  // V8 quotes the text around an unexpected token, and does not give its position. The token ends the shortest
  // beginning of the text that has the error.
  let [without, having] = [0, text.length];
  while (having - without > 1) {
    const middle = Math.floor((without + having) / 2);
    if (isUnexpectedToken(jsonError(text.slice(0, middle)))) having = middle;
    else without = middle;
  }
  const lines = text.slice(0, having - 1).split(/\r\n?|\n/);
  return `line ${lines.length}, column ${lines.at(-1)!.length + 1}`;
}

function isUnexpectedToken(message: string): boolean {
  return message.endsWith("is not valid JSON");
}

/** V8's message; empty if it is JSON. */
function jsonError(text: string): string {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

/**
 * The catalog that is part of the executable. A test loads it as an operator's file would be, which here would only
 * make each start 60 ms longer; what checks a type's payloads is made when the first comes.
 */
export function embeddedCatalog(): Catalog {
  const { types } = defaultCatalog as unknown as CatalogFile;
  return new Map(Object.entries(types).map(([name, type]) => [name, catalogType(name, type, lazyCheck(type.payload))]));
}

function lazyCheck(schema: CatalogType["payloadSchema"]): PayloadCheck {
  let check: PayloadCheck | undefined;
  return (payload) => (check ??= payloadCheck(schema))(payload);
}

/** The types that can be sent to administrators: those that an `ADMIN_EMAILS_*` variable may name. */
export function administratorTypes(catalog: Catalog): string[] {
  return [...catalog.values()].filter((type) => type.audiences.admin_email !== undefined).map((type) => type.name);
}

function catalogOf(value: unknown): LoadedCatalog {
  fileProblems ??= valueChecker(FILE);
  const problems = fileProblems(value).map(({ path, message }) => `${place(path)}: ${message}`);
  if (problems.length > 0) return broken(problems);
  const catalog = new Map<string, CatalogType>();
  for (const [name, type] of Object.entries((value as CatalogFile).types)) {
    const checker = payloadChecker(type.payload);
    if (checker.kind === "ok") {
      catalog.set(name, catalogType(name, type, checker.check));
    } else {
      const at = ["types", name, "payload"];
      problems.push(...checker.faults.map(({ path, message }) => `${place([...at, ...path])}: ${message}`));
    }
  }
  return problems.length > 0 ? broken(problems) : { kind: "ok", catalog };
}

function catalogType(name: string, type: FileType, payloadProblem: PayloadCheck): CatalogType {
  const { description = "", producers, audiences, payload: payloadSchema } = type;
  return { name, description, producers, audiences, payloadSchema, payloadProblem };
}

/** Each problem on one line, though a name or pattern in the file may have a line end. */
function broken(problems: readonly string[]): LoadedCatalog {
  return { kind: "broken", problems: problems.map(escapeControls) };
}

/** A place in the file as JSON Pointer (RFC 6901), which an editor or `jq` can follow; `/` for the whole. */
function place(path: readonly string[]): string {
  return "/" + path.map((step) => step.replaceAll("~", "~0").replaceAll("/", "~1")).join("/");
}
