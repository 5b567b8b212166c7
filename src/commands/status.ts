/** `status`: the state of the service, read from Redis and PostgreSQL without asking the instances. */
import type pg from "pg";
import { systemClock } from "../clock.ts";
import { backlogReader } from "../backlog/backlog.ts";
import { LIVE_ROUTES } from "../backlog/route_backlog.ts";
import type { Config } from "../config/config.ts";
import { type Channel, ROUTE_STATUSES, type RouteStatus } from "../notification/route.ts";
import { describePostgresError, postgresFailure } from "../postgres/failures.ts";
import { shownName } from "../postgres/session.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { BEFORE_ALL } from "../redis/entry_ids.ts";
import { RedisError } from "../redis/failures.ts";
import { consumerLeaseKey } from "../redis/keys.ts";
import { type Offset, selectOffset } from "../stream_offset/stream_offset.ts";
import { type Arguments, atMost, type Command, COMMAND_EXIT, print, printJson, usageError } from "./command.ts";
import { inTime } from "./in_time.ts";
import { readRecentRepairs, type RecentRepair, recentRepairLines } from "./recent_repairs.ts";
import { settingsOrFail } from "./settings.ts";
import { type Stores, withStores } from "./stores.ts";
import { type Cell, paint, table, wrap } from "./terminal.ts";
import { duration } from "./time_words.ts";
import { type WaitsFor, waitsForOf, waitsForText } from "./waits_for.ts";
import { watch } from "./watch.ts";

/** The object that `--json` prints. */
export interface Status {
  readonly intent_stream: {
    readonly lag: number;
    readonly next_entry_id: string | null;
    readonly oldest_age_ms: number;
    /** How long intake has not moved although entries wait. */
    readonly stalled_ms: number;
    readonly waits_for: WaitsFor | null;
    /** By how much the newest id is ahead of Redis's clock; 0 if it is not. */
    readonly ids_ahead_ms: number;
  };
  readonly channels: Readonly<Record<Channel, ChannelStatus>>;
  /** By status. Like all counts, null if there are too many to count while an operator waits. */
  readonly routes: Readonly<Record<RouteStatus, number>> | null;
  readonly dead_letters_last_hour: number | null;
  /** Open repairs first, then those that were finished within a day. */
  readonly repairs: readonly RecentRepair[];
  readonly instances: readonly { readonly id: string; readonly consuming: boolean }[];
}

interface ChannelStatus {
  readonly depth: number | null;
  readonly oldest_age_ms: number;
  /** The highest entry of the outbound stream that is written as published; null before the first. */
  readonly published_up_to: string | null;
}

export const command: Command = {
  usage: "status [--watch] [--json]",
  help: `
Shows the lag of the intent stream and its next unprocessed entry; how long and
why intake has stalled; depth and oldest age of each channel, and the highest
entry written as published; routes by status; dead letters of the last hour;
repairs that are open or were finished within a day; which instances run and
which of them consumes.

--watch  refreshes the page in place every two seconds, until Ctrl-C; the exit
         code is then 0
--json   {"intent_stream": {"lag", "next_entry_id", "oldest_age_ms",
          "stalled_ms", "waits_for": {"entry_id", "recipient", "dependency",
          "reason", "stalled_ms"} or null, "ids_ahead_ms"},
          "channels": {"push": {"depth", "oldest_age_ms", "published_up_to"},
          "email": …},
          "routes": {"pending", "failed", "published", "dead_letter",
          "skipped"}; every count is null if counting takes too long,
          "dead_letters_last_hour", "repairs": [{"stream", "routes",
          "detected_at", "finished_at": null while it is open}],
          "instances": [{"id", "consuming"}]}`,
  options: { watch: { type: "boolean" }, json: { type: "boolean" } },
  run,
};

async function run(args: Arguments): Promise<number> {
  atMost(args, 0);
  if (args.flag("watch") && args.flag("json")) throw usageError("--json prints one object: it can't be watched");
  const { config } = settingsOrFail();
  return await withStores(config, "status", async (stores) => {
    const read = () => readStatus(stores, config);
    if (args.flag("watch")) await watch(() => pageOrOutage(read));
    else if (args.flag("json")) printJson({ ...await read() });
    else print(page(await read()));
    return COMMAND_EXIT.ok;
  });
}

async function readStatus({ postgres, redis }: Stores, { intents: { stream }, publish }: Config): Promise<Status> {
  const backlog = backlogReader({ postgres, redis, stream });
  const [intents, oldestAgeMs, instances, push, email, repairs, depth, deadLetters, routes] = await Promise.all([
    backlog.intents(),
    backlog.oldestAgeMs(),
    readInstances(postgres, redis, stream),
    selectOffset(postgres, publish.clientEventsStream),
    selectOffset(postgres, publish.mailCommandsStream),
    readRecentRepairs(postgres),
    inTime<Record<Channel, number>>(postgres, LIVE_ROUTES),
    inTime<{ count: number }>(postgres, DEAD_LETTERS_LAST_HOUR),
    inTime<{ status: RouteStatus; count: number }>(postgres, ROUTES_BY_STATUS),
  ]);
  const channel = (name: Channel, offset: Offset | undefined): ChannelStatus => ({
    depth: depth?.[0]?.[name] ?? null,
    oldest_age_ms: oldestAgeMs[name],
    published_up_to: offset === undefined || offset.entryId === BEFORE_ALL ? null : offset.entryId,
  });
  return {
    intent_stream: {
      lag: intents.lag,
      next_entry_id: intents.nextEntryId ?? null,
      oldest_age_ms: intents.oldestAgeMs,
      stalled_ms: intents.stalledMs,
      waits_for: waitsForOf(intents),
      ids_ahead_ms: intents.aheadMs,
    },
    channels: { push: channel("push", push), email: channel("email", email) },
    routes: routes === undefined ? null : byStatus(routes),
    dead_letters_last_hour: deadLetters?.[0]?.count ?? null,
    repairs,
    instances,
  };
}

const DEAD_LETTERS_LAST_HOUR = `
  SELECT count(*)::float8 AS count FROM notification.dead_letters WHERE created_at > now() - interval '1 hour'`;
const ROUTES_BY_STATUS = "SELECT status, count(*)::float8 AS count FROM notification.routes GROUP BY status";

function byStatus(rows: readonly { status: RouteStatus; count: number }[]): Record<RouteStatus, number> {
  const counts = new Map(rows.map(({ status, count }) => [status, count]));
  return Object.fromEntries(ROUTE_STATUSES.map((status) => [status, counts.get(status) ?? 0])) as Record<
    RouteStatus,
    number
  >;
}

/** A smaller difference may come from the clocks of two servers. */
const IDS_AHEAD_MS = 60_000;

const APPLICATION = "notification-service/";

/** The sessions of an instance carry its process id, and so does the consumer lease. */
async function readInstances(postgres: pg.Pool, redis: RedisConnection, stream: string): Promise<Status["instances"]> {
  const { rows } = await postgres.query<{ name: string }>(
    `SELECT DISTINCT application_name AS name FROM pg_stat_activity
     WHERE datname = current_database() AND starts_with(application_name, $1)`,
    [APPLICATION],
  );
  const consumer = await redis.call("GET", consumerLeaseKey(stream));
  const names = new Map(rows.map(({ name }) => [name, name.slice(APPLICATION.length)]));
  // The lease has the whole id, the session's name perhaps only its end.
  if (typeof consumer === "string") names.set(shownName(APPLICATION + consumer), consumer);
  return [...names.values()].sort().map((id) => ({ id, consuming: id === consumer }));
}

function page({ intent_stream, channels, routes, dead_letters_last_hour, repairs, instances }: Status): string[] {
  const deadLetters: Cell = dead_letters_last_hour === 0 ? "0" : ["red", counted(dead_letters_last_hour)];
  return [
    paint("bold", "Intents"),
    ...intentLines(intent_stream),
    "",
    paint("bold", "Channels"),
    ...table(
      ["CHANNEL", "DEPTH", "OLDEST IS OVERDUE BY", "PUBLISHED UP TO"],
      Object.entries(channels).map(([channel, { depth, oldest_age_ms, published_up_to }]) => [
        channel,
        counted(depth),
        depth === 0 ? "nothing waits" : duration(oldest_age_ms),
        published_up_to ?? "nothing yet",
      ]),
    ),
    "",
    paint("bold", "Routes"),
    ...table(
      [...Object.keys(routes ?? {}).map((status) => status.toUpperCase()), "DEAD IN THE LAST HOUR"],
      [[...Object.values(routes ?? {}).map(String), deadLetters]],
    ),
    ...(routes === null ? ["  too many routes to count them by status"] : []),
    ...(repairs.length === 0 ? [] : ["", paint("bold", "Repairs"), ...recentRepairLines(repairs, systemClock.now())]),
    "",
    paint("bold", "Instances"),
    ...(instances.length === 0 ? [`  ${paint("red", "none")}`] : table(
      ["ID", "ROLE"],
      instances.map(({ id, consuming }) => [id, consuming ? ["green", "consumes"] : "publishes"]),
    )),
  ];
}

function counted(count: number | null): string {
  return count === null ? "too many to count" : String(count);
}

function intentLines(
  { lag, next_entry_id, stalled_ms, waits_for, ids_ahead_ms }: Status["intent_stream"],
): string[] {
  const stalled: Cell = waits_for === null ? duration(stalled_ms) : ["red", duration(stalled_ms)];
  const warnings = [
    ...(waits_for === null ? [] : [`stalled: ${waitsForText(waits_for)}; see inspect intent, set-aside`]),
    ...(ids_ahead_ms < IDS_AHEAD_MS
      ? []
      : [`ids are ${duration(ids_ahead_ms)} ahead of the clock: they do not show the age of entries`]),
  ];
  return [
    ...table(["LAG", "NOT MOVED FOR", "NEXT UNPROCESSED"], [[
      lag === 0 ? "0" : ["yellow", String(lag)],
      lag === 0 ? "nothing waits" : stalled,
      next_entry_id ?? "none",
    ]]),
    ...warnings.flatMap((text) => wrap(text, 2)).map((line) => paint("red", line)),
  ];
}

/** An outage is shown instead of the page, and the watch continues. */
async function pageOrOutage(read: () => Promise<Status>): Promise<string[]> {
  const time = paint("dim", new Date(systemClock.now()).toISOString());
  try {
    return [time, "", ...page(await read())];
  } catch (error) {
    if (error instanceof RedisError) return [time, "", ...outage(`Redis: ${error.message}`)];
    if (postgresFailure(error) === undefined) throw error;
    return [time, "", ...outage(`PostgreSQL: ${describePostgresError(error)}`)];
  }
}

function outage(text: string): string[] {
  return wrap(text, 0).map((line) => paint("red", line));
}
