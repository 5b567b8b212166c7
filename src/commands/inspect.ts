/**
 * `inspect`: the story of one intent, and lists of malformed intents, dead letters, routes and repairs, newest first.
 * Only reads.
 */
import { systemClock } from "../clock.ts";
import { isEntryId } from "../redis/entry_ids.ts";
import { FAILURE_CLASSIFICATIONS, SKIP_REASONS } from "../notification/route.ts";
import { MALFORMED_CODES } from "../notification/intent.ts";
import { type Arguments, atMost, choice, type Command, COMMAND_EXIT, print, printJson, usageError } from "./command.ts";
import { listDeadLetters, listMalformed, listRepairs, listRoutes } from "./inspect_lists.ts";
import type { Filters } from "./inspect_rows.ts";
import { readStory } from "./inspect_story.ts";
import { settingsOrFail } from "./settings.ts";
import { sinceOf } from "./since.ts";
import { withStores } from "./stores.ts";
import { storyLines } from "./story_lines.ts";

export const command: Command = {
  usage: "inspect <subject> [<filters>]",
  help: `
inspect intent <entry id | notification id | producer/key>
             one notification's story: entry, outcome, record, routes, attempts,
             leases, outbound entries; exit code 1 if it is unknown
inspect malformed      intents that broke a rule
inspect dead-letters   routes that were given up
inspect routes         routes, by the time of their intents' entries
inspect repairs        what Redis lost of the outbound streams, and how many
                       routes were published there (only --since and --limit)

Filters, newest first:
--since <time>           a duration (90m, 24h) or a time (2026-01-31T12:00:00Z)
--type <name>            the notification type
--producer <name>
--classification <name>  why: a malformed intent's code, a dead letter's or a
                         route's classification
--limit <number>         how many at most (20); of routes for inspect intent
--near <entry id>        malformed only: those around this entry

If matching rows are rare among very many, only the newest 20,000 rows are
looked at, and standard error says so.

--json uses the names of the tables' columns; null means that there is none

{"malformed": [{"stream", "stream_entry_id", "notification_type", "producer",
"idempotency_key", "failure_code", "failure_message", "raw_fields",
"recorded_at"}]}
{"dead_letters": [{"notification_id", "route_id", "channel", "recipient",
"attempt_count", "max_attempts", "failure_classification", "failure_message",
"created_at", "notification_type", "producer"}]}
{"routes": [{"notification_id", "route_id", "channel", "recipient",
"recipient_email", "locale", "status", "attempt_count", "max_attempts",
"next_attempt_at", "last_error_classification", "last_error_message",
"published_entry_id", "created_at", "updated_at", "notification_type",
"producer"}]}
{"repairs": [{"stream", "lost_after", "lost_up_to", "detected_at",
"finished_at": null while it is open, "routes": how many were found so far}]}
{"intent": {"outcome": "accepted", "malformed", "duplicate", "waiting" or
"unknown",
"entry": {"id", "fields"},
"record": {"notification_id", "notification_type", "producer", "audience_kind",
"idempotency_key", "stream", "stream_entry_id", "request_id", "trace_id",
"payload", "occurred_at", "accepted_at"},
"malformed": as above,
"routes": [{"route_id", "channel", "status", "attempt_count", "max_attempts",
"next_attempt_at", "last_error_classification", "last_error_message",
"published_entry_id", "updated_at", "lease": {"value", "ttl_ms"},
"outbound_entry": {"id", "fields"}}],
"route_count": how many routes there are,
"waits_for": {"entry_id", "recipient", "dependency", "reason", "stalled_ms"}:
what a waiting entry waits for while intake can't continue, either itself or an
entry before it}}`,
  options: {
    since: { type: "string" },
    type: { type: "string" },
    producer: { type: "string" },
    classification: { type: "string" },
    limit: { type: "string" },
    near: { type: "string" },
    json: { type: "boolean" },
  },
  run,
};

const SUBJECTS = ["intent", "malformed", "dead-letters", "routes", "repairs"] as const;
const LISTS = {
  malformed: listMalformed,
  "dead-letters": listDeadLetters,
  routes: listRoutes,
  repairs: listRepairs,
} as const;
/** Filters that do not apply to a subject. */
const NOT_FOR: Readonly<Partial<Record<typeof SUBJECTS[number], readonly string[]>>> = {
  intent: ["since", "type", "producer", "classification"],
  repairs: ["type", "producer", "classification"],
};
const MAX_LIMIT = 10_000;

async function run(args: Arguments): Promise<number> {
  const subject = choice(args.positionals[0], SUBJECTS, "subject");
  const filters = filtersOf(args, subject);
  const key = args.positionals[1];
  atMost(args, subject === "intent" ? 2 : 1);
  if (subject === "intent" && key === undefined) {
    throw usageError("which one? An entry id, a notification id, or producer/key");
  }
  const { config } = settingsOrFail();
  return await withStores(config, "inspect", async (stores) => {
    if (subject === "intent") {
      const story = await readStory(stores, { key: key!, config, limit: filters.limit });
      if (args.flag("json")) printJson({ intent: story });
      else print(storyLines(story, systemClock.now()));
      return story.outcome === "unknown" ? COMMAND_EXIT.failed : COMMAND_EXIT.ok;
    }
    await LISTS[subject](stores.postgres, {
      filters,
      stream: config.intents.stream,
      nowMs: systemClock.now(),
      asJson: args.flag("json"),
    });
    return COMMAND_EXIT.ok;
  });
}

function filtersOf(args: Arguments, subject: typeof SUBJECTS[number]): Filters {
  const unfit = NOT_FOR[subject]?.find((name) => args.value(name) !== undefined);
  if (unfit !== undefined) throw usageError(`--${unfit} is not for inspect ${subject}`);
  const classification = args.value("classification");
  const known: readonly string[] = subject === "malformed"
    ? MALFORMED_CODES
    : [...FAILURE_CLASSIFICATIONS, ...SKIP_REASONS];
  const near = args.value("near");
  if (near !== undefined && subject !== "malformed") throw usageError("--near is for inspect malformed");
  if (near !== undefined && !isEntryId(near)) throw usageError(`--near ${JSON.stringify(near)} is not an entry id`);
  return {
    since: sinceOf(args.value("since")),
    type: args.value("type"),
    producer: args.value("producer"),
    classification: classification === undefined ? undefined : choice(classification, known, "classification"),
    limit: limitOf(args.value("limit") ?? "20"),
    near,
  };
}

function limitOf(text: string): number {
  const limit = Number(text);
  if (!/^\d{1,5}$/.test(text) || limit < 1 || limit > MAX_LIMIT) {
    throw usageError(`--limit is a number from 1 to ${MAX_LIMIT}`);
  }
  return limit;
}
