/**
 * `smoke`: sends a harmless test intent and follows it to the outbound stream, with the time of each step. It
 * writes an entry to the intent stream, as any producer does.
 */
import type { Config } from "../config/config.ts";
import { systemClock } from "../clock.ts";
import { parseDuration } from "../config/durations.ts";
import { checkedFields } from "../producer/checked_fields.ts";
import { IntentRefused } from "../producer/intent_refused.ts";
import {
  type Arguments,
  atMost,
  type Command,
  COMMAND_EXIT,
  CommandFailed,
  print,
  printJson,
  usageError,
} from "./command.ts";
import { readStory, type Story } from "./inspect_story.ts";
import { settingsOrFail } from "./settings.ts";
import { type Stores, withStores } from "./stores.ts";
import { paint, table, wrap } from "./terminal.ts";

export const command: Command = {
  usage: "smoke --user-id <id> [<options>]",
  help: `
Sends a notification.smoke_test to the user by push and follows it: entry,
record, outbound entry. Exit code 1 if it doesn't arrive.

--user-id <id>        a user that the User Service knows
--timeout <duration>  how long to follow it (30s)
--yes                 also if NOTIFICATION_ENVIRONMENT is production

--json: {"ok", "problem", "entry_id", "notification_id", "outbound_entry_id",
"steps": [{"step", "at_ms"}]}; at_ms counts from before the entry was sent.`,
  options: {
    "user-id": { type: "string" },
    timeout: { type: "string" },
    yes: { type: "boolean" },
    json: { type: "boolean" },
  },
  run,
};

const SMOKE_TYPE = "notification.smoke_test";
const POLL_MS = 10;

interface Step {
  readonly step: string;
  readonly at_ms: number;
}

interface Followed {
  readonly problem: string | null;
  readonly story: Story | undefined;
}

async function run(args: Arguments): Promise<number> {
  atMost(args, 0);
  const userId = args.value("user-id");
  if (userId === undefined) throw usageError("--user-id is missing: the user who gets the test");
  const timeoutMs = parseDuration(args.value("timeout") ?? "30s");
  if (timeoutMs === undefined) throw usageError("--timeout should be a duration such as 30s");
  const { config, catalog } = settingsOrFail();
  if (config.process.environment === "production" && !args.flag("yes")) {
    throw usageError("NOTIFICATION_ENVIRONMENT is production: use --yes to send a test there");
  }
  const type = catalog.get(SMOKE_TYPE);
  if (type === undefined) throw new CommandFailed(COMMAND_EXIT.failed, `the catalog has no ${SMOKE_TYPE}`);
  const fields = smokeFields({ userId, producer: type.producers[0]! }, (all) => checkedFields(all, catalog));

  return await withStores(config, "smoke", async (stores) => {
    const steps: Step[] = [];
    const began = systemClock.monotonic();
    const reach = (step: string) => steps.push({ step, at_ms: Math.round(systemClock.monotonic() - began) });
    const entryId = String(await stores.redis.call("XADD", config.intents.stream, "*", ...fields));
    reach("sent");
    const { problem, story } = await follow(stores, { config, entryId, reach, untilMs: began + timeoutMs });
    const route = story?.routes[0];
    const result = {
      ok: problem === null,
      problem,
      entry_id: entryId,
      notification_id: story?.record?.notification_id ?? null,
      outbound_entry_id: route?.published_entry_id ?? null,
      steps,
    };
    if (args.flag("json")) printJson(result);
    else print(lines(result));
    return result.ok ? COMMAND_EXIT.ok : COMMAND_EXIT.failed;
  });
}

function smokeFields(
  { userId, producer }: { userId: string; producer: string },
  check: (fields: Record<string, string>) => string[],
): string[] {
  const now = systemClock.now();
  try {
    return check({
      notification_type: SMOKE_TYPE,
      producer,
      audience_kind: "user",
      recipient_user_ids_json: JSON.stringify([userId]),
      idempotency_key: `smoke-${crypto.randomUUID()}`,
      occurred_at_ms: String(now),
      payload_json: JSON.stringify({ note: `Smoke test at ${new Date(now).toISOString()}` }),
    });
  } catch (error) {
    if (error instanceof IntentRefused) throw usageError(error.message);
    throw error;
  }
}

interface FollowOptions {
  readonly config: Config;
  readonly entryId: string;
  readonly reach: (step: string) => void;
  readonly untilMs: number;
}

async function follow(stores: Stores, { config, entryId, reach, untilMs }: FollowOptions): Promise<Followed> {
  let accepted = false;
  for (;;) {
    const story = await readStory(stores, { key: entryId, config, limit: 1 });
    const [route] = story.routes;
    if (story.malformed !== null) {
      reach("malformed");
      return { problem: `${story.malformed.failure_code}: ${story.malformed.failure_message}`, story };
    }
    if (story.outcome === "accepted" && !accepted) {
      accepted = true;
      reach("accepted");
    }
    if (route?.status === "published") {
      reach("published");
      const there = route.outbound_entry !== null;
      if (there) reach("seen in the outbound stream");
      return { problem: there ? null : "its outbound entry is no longer in the stream", story };
    }
    if (route?.status === "dead_letter" || route?.status === "skipped") {
      reach(route.status);
      return { problem: `${route.status}: ${route.last_error_classification ?? ""}`, story };
    }
    if (systemClock.monotonic() >= untilMs) {
      const problem = accepted ? "it was accepted, but not published in time" : "no instance has accepted it in time";
      return { problem: `${problem}: see notification-service status`, story };
    }
    await systemClock.sleep(POLL_MS);
  }
}

function lines(
  { ok, problem, entry_id, notification_id, outbound_entry_id, steps }: {
    readonly ok: boolean;
    readonly problem: string | null;
    readonly entry_id: string;
    readonly notification_id: string | null;
    readonly outbound_entry_id: string | null;
    readonly steps: readonly Step[];
  },
): string[] {
  // Each id has a line of its own, so that it can be copied: the longest just fits.
  const ids: Readonly<Record<string, string | null>> = {
    sent: entry_id,
    accepted: notification_id,
    published: outbound_entry_id,
  };
  return [
    ...table(["AFTER", "STEP", "ID"], steps.map(({ step, at_ms }) => [`${at_ms} ms`, step, ids[step] ?? ""])),
    "",
    ...(ok
      ? [`${paint("green", "✓")} It arrived.`]
      : wrap(`It did not arrive: ${problem}`, 2).map((line, at) =>
        at === 0 ? `${paint("red", "✗")} ${line.trim()}` : line
      )),
  ];
}
