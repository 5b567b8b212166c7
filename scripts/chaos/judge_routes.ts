/** The routes and deliveries of one accepted entry, and the expected ones → every breach. Pure. */
import type { ExpectedRoute } from "./cast.ts";
import type { AttemptLimits, DeadLetterFact, Evidence, Note, OutboundFact, RefusalWindow, RouteFact } from "./facts.ts";
import type { SentEntry } from "./sent_entry.ts";

/**
 * The classification of a route whose last attempt failed because the stream refused the entry (docs/contract.md,
 * section 5).
 */
const STREAM_FAILURES = { push: "gateway_stream_publish_failed", email: "mail_stream_publish_failed" } as const;

export interface Accepted {
  readonly kind: "accepted";
  readonly notificationId: string;
  readonly routes: readonly ExpectedRoute[];
  readonly payload: string;
}

/** For an entry whose record may be deleted: checks only that each route has exactly one outbound entry. */
export function judgeDeliveries(
  { entry, expected, outbound }: Pick<JudgedRecord, "entry" | "expected" | "outbound">,
  note: Note,
): void {
  for (const wanted of expected.routes) {
    const id = `${expected.notificationId}/${wanted.routeId}`;
    const copies = outbound.get(id) ?? [];
    const most = wanted.skipped === undefined ? 1 : 0;
    if (copies.length > most) note("twice", `${id} (entry ${entry.entryId}) was published ${copies.length} times`);
    if (copies.length < most) {
      note("lost", `${id} (entry ${entry.entryId}) was never published, and its record no longer exists`);
    }
  }
}

export interface JudgedRecord {
  readonly entry: SentEntry;
  readonly expected: Accepted;
  readonly routes: readonly RouteFact[];
  /** Dead letters that belong to a judged route are removed from the map. */
  readonly deadLetters: Map<string, readonly DeadLetterFact[]>;
  readonly outbound: ReadonlyMap<string, readonly OutboundFact[]>;
}

export function judgeRoutes(judged: JudgedRecord, { refusals, attemptLimits }: Evidence, note: Note): void {
  const { entry, expected, deadLetters, outbound } = judged;
  const { notificationId } = expected;
  const routes = new Map(judged.routes.map((route) => [route.routeId, route]));
  for (const wanted of expected.routes) {
    const id = `${notificationId}/${wanted.routeId}`;
    const name = `${id} (entry ${entry.entryId})`;
    const route = routes.get(wanted.routeId);
    const copies = outbound.get(id) ?? [];
    routes.delete(wanted.routeId);
    if (copies.length > 1) {
      note(
        "twice",
        `${name} was published as ${copies.map((copy) => copy.entryId).join(" and ")}`,
      );
    }
    if (route === undefined) {
      note("lost", `${name} has no route`);
      continue;
    }
    for (const copy of copies) judgeContent(copy, { name, wanted, payload: expected.payload, note });
    const letters = deadLetters.get(id)?.length ?? 0;
    deadLetters.delete(id);
    if (letters > 0 && route.status !== "dead_letter") note("wrong", `${name} is ${route.status} with a dead letter`);
    judgeRoute(route, { name, wanted, copies, letters, refusals, attemptLimits, note });
  }
  for (const routeId of routes.keys()) note("wrong", `${notificationId}/${routeId} is a route of no intent`);
}

function judgeRoute(
  route: RouteFact,
  { name, wanted, copies, letters, refusals, attemptLimits, note }: {
    name: string;
    wanted: ExpectedRoute;
    copies: readonly OutboundFact[];
    letters: number;
    refusals: readonly RefusalWindow[];
    attemptLimits: AttemptLimits;
    note: Note;
  },
): void {
  const refused = refusals.some(({ channel, fromMs, toMs }) =>
    channel === wanted.channel && route.createdAtMs <= toMs && route.updatedAtMs >= fromMs
  );
  if (!attemptLimits[wanted.channel].includes(route.maxAttempts)) {
    note("wrong", `${name} may have ${route.maxAttempts} attempts, not ${attemptLimits[wanted.channel].join(" or ")}`);
  }
  if (copies.length > 0 && route.status !== "published") {
    const kind = route.status === "dead_letter" ? "false dead letter" : "wrong";
    note(kind, `${name} is ${route.status} but published as ${copies[0]!.entryId}`);
  }
  if (wanted.skipped !== undefined) {
    const right = route.status === "skipped" && route.classification === wanted.skipped;
    if (!right) note("wrong", `${name} is ${route.status} ${route.classification}, not skipped ${wanted.skipped}`);
    return;
  }
  switch (route.status) {
    case "published":
      if (copies.length === 0) {
        note("lost", `${name} counts as published as ${route.publishedEntryId}, which is not in the stream`);
      } else if (!copies.some(({ entryId }) => entryId === route.publishedEntryId)) {
        note("wrong", `${name} names ${route.publishedEntryId}, but it is ${copies[0]!.entryId}`);
      }
      if (route.attempts < 1 || route.attempts > (refused ? route.maxAttempts : 1)) {
        note("wrong", `${name} was published at attempt ${route.attempts}`);
      }
      return;
    case "dead_letter":
      if (!refused) note("false dead letter", `${name}: ${route.classification}`);
      else if (route.attempts !== route.maxAttempts || route.classification !== STREAM_FAILURES[wanted.channel]) {
        note("false dead letter", `${name}: ${route.classification} after ${route.attempts} attempts`);
      }
      if (letters !== 1) note("wrong", `${name} has ${letters} rows in dead_letters`);
      return;
    case "pending":
    case "failed":
      return note("lost", `${name} is stuck as ${route.status} after ${route.attempts} attempts`);
    default:
      return note("wrong", `${name} is ${route.status}`);
  }
}

function judgeContent(
  copy: OutboundFact,
  { name, wanted, payload, note }: { name: string; wanted: ExpectedRoute; payload: string; note: Note },
): void {
  if (copy.channel !== wanted.channel) note("wrong", `${name} was published in the ${copy.channel} stream`);
  if (copy.to !== wanted.to) note("wrong", `${name} went to ${copy.to}, not to ${wanted.to}`);
  if (copy.payload !== payload) note("wrong", `${name} has another payload: ${copy.payload}`);
}
