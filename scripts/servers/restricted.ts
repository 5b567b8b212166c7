/**
 * The SQL and the access control line in docs/security.md → a PostgreSQL role with these permissions for one database,
 * and arguments for a Redis whose user `default` has only these permissions; its user `tests` has all. This is used if
 * TEST_RESTRICTED is 1 (`deno task test:restricted`).
 */
// @ts-types="@types/pg"
import pg from "pg";
import { runSql } from "./run_sql.ts";

const PAGE = new URL("../../docs/security.md", import.meta.url);
/** Streams with other names in tests. An operator would also have to add such names to the line. */
const STREAMS_OF_TESTS = ["~push:out", "~mail:out", "~in:*"];

export const OBSERVER = "tests";

export function isRestricted(): boolean {
  return Deno.env.get("TEST_RESTRICTED") === "1";
}

/** Arguments of redis-server that create both users. */
export function accessControl(password: string): string[] {
  const line = block("acl").split(/\s+/).map((word) => word === ">change-me" ? `>${password}` : word);
  const [directive, ...rules] = line;
  if (directive !== "user") throw new Error(`The access control line of ${PAGE.pathname} begins with ${directive}`);
  return ["--user", ...rules, ...STREAMS_OF_TESTS, "--user", OBSERVER, "on", `>${password}`, "~*", "&*", "+@all"];
}

/** Creates the role in the database of `dsn`, as its superuser, and returns the URL for the role. */
export async function restrictedRole(dsn: string): Promise<string> {
  const url = new URL(dsn);
  const database = url.pathname.slice(1);
  const role = `role_of_${database}`;
  const sql = block("sql")
    .replaceAll("notification_service", pg.escapeIdentifier(role))
    .replaceAll("DATABASE notification", `DATABASE ${pg.escapeIdentifier(database)}`);
  await runSql(dsn, sql);
  url.username = role;
  url.password = "change-me";
  return url.href;
}

function block(language: string): string {
  const found = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "ms").exec(Deno.readTextFileSync(PAGE))?.[1];
  if (found === undefined) throw new Error(`${PAGE.pathname} has no ${language} block`);
  return found.trim();
}
