/**
 * `reissue`: dead letters or malformed intents → the XADD of a new intent for each, for redis-cli. Sends nothing,
 * changes nothing.
 */
import { systemClock } from "../clock.ts";
import { FAILURE_CLASSIFICATIONS } from "../notification/route.ts";
import { MALFORMED_CODES } from "../notification/intent.ts";
import { type Arguments, atMost, choice, type Command, COMMAND_EXIT, print, printError } from "./command.ts";
import { commandLine } from "./redis_cli.ts";
import { deadLettersAgain } from "./reissue_dead_letters.ts";
import { malformedAgain } from "./reissue_malformed.ts";
import { type ReissueFilters, STEP } from "./reissued.ts";
import { settingsOrFail } from "./settings.ts";
import { sinceOf } from "./since.ts";
import { withPostgres } from "./stores.ts";

export const command: Command = {
  usage: "reissue [dead-letters | malformed] [<filters>]",
  help: `
Prints the XADD of a new intent, as encode-intent does, for each record with
dead letters (for the users whose routes were given up, or for all
administrators), or for each malformed intent that the current catalog and the
User Service would accept today. Sends nothing:

  notification-service reissue dead-letters --since 6h > again.redis
  redis-cli < again.redis

A new intent is published over every channel of its type. Dead letters and
malformed intents stay as they are. A second reissue repeats nothing: a record's
new key comes from its old key and the users, and users who were already
reissued are left out; a malformed intent keeps its key, and is left out if that
key has a record.

Filters:
--since <time>           a duration (90m, 24h) or a time (2026-01-31T12:00:00Z)
--type <name>            the notification type
--producer <name>
--classification <name>  of a dead letter, or a malformed intent's code

Oldest first. Standard error counts what can't be reissued, by reason; exit code
1 if nothing can.`,
  options: {
    since: { type: "string" },
    type: { type: "string" },
    producer: { type: "string" },
    classification: { type: "string" },
  },
  run,
};

async function run(args: Arguments): Promise<number> {
  atMost(args, 1);
  const subject = choice(args.positionals[0] ?? "dead-letters", ["dead-letters", "malformed"], "subject");
  const known = subject === "malformed" ? MALFORMED_CODES : FAILURE_CLASSIFICATIONS;
  const classification = args.value("classification");
  const filters: ReissueFilters = {
    since: sinceOf(args.value("since")),
    type: args.value("type"),
    producer: args.value("producer"),
    classification: classification === undefined ? undefined : choice(classification, known, "classification"),
  };
  const { config, catalog } = settingsOrFail();
  return await withPostgres(config, "reissue", async (postgres) => {
    const options = { filters, catalog, userService: config.userService, stream: config.intents.stream };
    const again = subject === "malformed" ? malformedAgain(postgres, options) : deadLettersAgain(postgres, options);
    const leftOut = new Map<string, number>();
    const progress = new Progress(subject);
    let printed = 0;
    for await (const each of again) {
      switch (each.kind) {
        case "intent":
          print([commandLine(["XADD", config.intents.stream, "*", ...each.fields])]);
          printed++;
          break;
        case "left_out":
          leftOut.set(each.reason, (leftOut.get(each.reason) ?? 0) + 1);
          break;
        case "looked_at":
          progress.step();
          break;
        default:
          each satisfies never;
      }
    }
    for (const [reason, count] of leftOut) printError(`left out: ${count}: ${reason}`);
    printError(`${printed} to send`);
    return printed === 0 && leftOut.size > 0 ? COMMAND_EXIT.failed : COMMAND_EXIT.ok;
  });
}

const REPORT_MS = 1000;

/** Where it takes long, says on standard error how far it has come, once a second. */
class Progress {
  readonly #subject: string;
  #count = 0;
  #reportedMs = systemClock.monotonic();

  constructor(subject: string) {
    this.#subject = subject;
  }

  step(): void {
    this.#count += STEP;
    if (systemClock.monotonic() - this.#reportedMs < REPORT_MS) return;
    this.#reportedMs = systemClock.monotonic();
    printError(`${this.#count} ${this.#subject} looked at so far`);
  }
}
