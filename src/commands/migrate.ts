/** `migrate`: shows, applies or rolls back the migrations in the executable, under the service's own lock. */
import { systemClock } from "../clock.ts";
import { migrate, migrateDown, migrationStatus } from "../postgres/migrate.ts";
import { checkServer } from "../postgres/pool.ts";
import { type Arguments, atMost, choice, type Command, COMMAND_EXIT, print, printJson, usageError } from "./command.ts";
import { settingsOrFail } from "./settings.ts";
import { withPostgres } from "./stores.ts";
import { table } from "./terminal.ts";
import { relative } from "./time_words.ts";

export const command: Command = {
  usage: "migrate status|up|down [--yes] [--json]",
  help: `
status  the migrations of this executable, and which of them are applied
up      applies the missing migrations, as run does at its start
down    rolls the newest migration back and deletes the data in its tables and
        columns; only with --yes, and with no instance running

--json: status {"migrations": [{"version", "name", "applied_at"}]}; up
{"applied": [name]}; down {"rolled_back": name or null}`,
  options: { yes: { type: "boolean" }, json: { type: "boolean" } },
  run,
};

async function run(args: Arguments): Promise<number> {
  const action = choice(args.positionals[0], ["status", "up", "down"], "action");
  atMost(args, 1);
  if (action === "down" && !args.flag("yes")) {
    throw usageError("down rolls the newest migration back and deletes its data: confirm it with --yes");
  }
  const { config } = settingsOrFail();
  const options = { lockTimeoutMs: config.process.startupTimeoutMs };
  return await withPostgres(config, "migrate", async (postgres) => {
    await checkServer(postgres);
    switch (action) {
      case "status": {
        const migrations = await migrationStatus(postgres);
        if (args.flag("json")) {
          printJson({
            migrations: migrations.map(({ version, name, appliedAt }) => ({ version, name, applied_at: appliedAt })),
          });
        } else {
          print(table(
            ["VERSION", "APPLIED", "NAME"],
            migrations.map(({ version, name, appliedAt }) => [
              String(version),
              appliedAt === null ? ["yellow", "pending"] : relative(appliedAt, systemClock.now()),
              name === "" ? ["red", "unknown to this executable"] : name,
            ]),
          ));
        }
        break;
      }
      case "up": {
        const { applied } = await migrate(postgres, options);
        if (args.flag("json")) printJson({ applied });
        else print(applied.length === 0 ? ["Nothing to apply."] : applied.map((name) => `Applied ${name}`));
        break;
      }
      case "down": {
        const { rolledBack } = await migrateDown(postgres, options);
        if (args.flag("json")) printJson({ rolled_back: rolledBack ?? null });
        else print([rolledBack === undefined ? "Nothing to roll back." : `Rolled back ${rolledBack}`]);
        break;
      }
      default:
        action satisfies never;
    }
    return COMMAND_EXIT.ok;
  });
}
