/**
 * The embedded catalog → the TypeScript types of its intents, for the producer module.
 *
 * `deno run --allow-read --allow-write scripts/intent_types.ts` writes them; a test keeps them current.
 */
import { type CatalogType, embeddedCatalog } from "../src/notification/catalog.ts";

export const TYPES_FILE = new URL("../src/producer/intent_types.ts", import.meta.url);

export function intentTypes(): string {
  return `/**
 * Made from the catalog by scripts/intent_types.ts: who may send what to whom, type by type. A test keeps it current.
 * Members of a payload that its type doesn't name pass through.
 */

export interface IntentTypes {
${[...embeddedCatalog().values()].map(typeOf).join("\n")}
}
`;
}

function typeOf({ name, description, producers, audiences, payloadSchema }: CatalogType): string {
  const union = (names: readonly string[]) => names.map((name) => JSON.stringify(name)).join(" | ");
  return `  /** ${description}. */
  ${JSON.stringify(name)}: {
    readonly producer: ${union(producers)};
    readonly audience: ${union(Object.keys(audiences))};
    readonly payload: ${objectType(payloadSchema)};
  };`;
}

/** The embedded catalog has only schemas of flat objects with strings and integers. */
function objectType(schema: Readonly<Record<string, unknown>>): string {
  const required = new Set(schema["required"] as readonly string[]);
  const properties = schema["properties"] as Readonly<Record<string, { readonly type: string }>>;
  const members = Object.entries(properties).map(([name, { type }]) => {
    return `      readonly ${name}${required.has(name) ? "" : "?"}: ${scalar(name, type)};`;
  });
  return ["{", ...members, "      readonly [member: string]: unknown;", "    }"].join("\n");
}

function scalar(name: string, type: string): string {
  if (type === "string" || type === "boolean") return type;
  if (type === "integer" || type === "number") return "number";
  throw new Error(`The payload member ${name} has the type ${type}, which scripts/intent_types.ts doesn't know yet`);
}

if (import.meta.main) await Deno.writeTextFile(TYPES_FILE, intentTypes());
