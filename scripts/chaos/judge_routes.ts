/** The routes and deliveries of one accepted entry, and the expected ones → every breach. Pure. */
import type { ExpectedRoute } from "./notification_model.ts";
import type {
  AddBreach,
  AttemptLimits,
  DeadLetterFact,
  Evidence,
  OutboundFact,
  RefusalWindow,
  RouteFact,
} from "./facts.ts";
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
  addBreach: AddBreach,
): void {
  for (const wanted of expected.routes) {
    const id = `${expected.notificationId}/${wanted.routeId}`;
    const copies = outbound.get(id) ?? [];
    const expectedCopies = wanted.skipped === undefined ? 1 : 0;
    if (copies.length > expectedCopies) {
      addBreach("twice", `${id} (entry ${entry.entryId}) was published ${copies.length} times`);
    }
    if (copies.length < expectedCopies) {
      addBreach("lost", `${id} (entry ${entry.entryId}) was never published, and its record no longer exists`);
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

export function judgeRoutes(judged: JudgedRecord, { refusals, attemptLimits }: Evidence, addBreach: AddBreach): void {
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
      addBreach(
        "twice",
        `${name} was published as ${copies.map((copy) => copy.entryId).join(" and ")}`,
      );
    }
    if (route === undefined) {
      addBreach("lost", `${name} has no route`);
      continue;
    }
    for (const copy of copies) judgeContent(copy, { name, wanted, payload: expected.payload, addBreach });
    const letters = deadLetters.get(id)?.length ?? 0;
    deadLetters.delete(id);
    if (letters > 0 && route.status !== "dead_letter") {
      addBreach("wrong", `${name} is ${route.status} with a dead letter`);
    }
    judgeRoute(route, { name, wanted, copies, letters, refusals, attemptLimits, addBreach });
  }
  for (const routeId of routes.keys()) addBreach("wrong", `${notificationId}/${routeId} is a route of no intent`);
}

function judgeRoute(
  route: RouteFact,
  { name, wanted, copies, letters, refusals, attemptLimits, addBreach }: {
    name: string;
    wanted: ExpectedRoute;
    copies: readonly OutboundFact[];
    letters: number;
    refusals: readonly RefusalWindow[];
    attemptLimits: AttemptLimits;
    addBreach: AddBreach;
  },
): void {
  const refused = refusals.some(({ channel, fromMs, toMs }) =>
    channel === wanted.channel && route.createdAtMs <= toMs && route.updatedAtMs >= fromMs
  );
  if (!attemptLimits[wanted.channel].includes(route.maxAttempts)) {
    addBreach(
      "wrong",
      `${name} may have ${route.maxAttempts} attempts, not ${attemptLimits[wanted.channel].join(" or ")}`,
    );
  }
  if (copies.length > 0 && route.status !== "published") {
    const kind = route.status === "dead_letter" ? "false dead letter" : "wrong";
    addBreach(kind, `${name} is ${route.status} but published as ${copies[0]!.entryId}`);
  }
  if (wanted.skipped !== undefined) {
    const right = route.status === "skipped" && route.classification === wanted.skipped;
    if (!right) addBreach("wrong", `${name} is ${route.status} ${route.classification}, not skipped ${wanted.skipped}`);
    return;
  }
  switch (route.status) {
    case "published":
      if (copies.length === 0) {
        addBreach("lost", `${name} counts as published as ${route.publishedEntryId}, which is not in the stream`);
      } else if (!copies.some(({ entryId }) => entryId === route.publishedEntryId)) {
        addBreach("wrong", `${name} names ${route.publishedEntryId}, but it is ${copies[0]!.entryId}`);
      }
      if (route.attempts < 1 || route.attempts > (refused ? route.maxAttempts : 1)) {
        addBreach("wrong", `${name} was published at attempt ${route.attempts}`);
      }
      return;
    case "dead_letter":
      if (!refused) addBreach("false dead letter", `${name}: ${route.classification}`);
      else if (route.attempts !== route.maxAttempts || route.classification !== STREAM_FAILURES[wanted.channel]) {
        addBreach("false dead letter", `${name}: ${route.classification} after ${route.attempts} attempts`);
      }
      if (letters !== 1) addBreach("wrong", `${name} has ${letters} rows in dead_letters`);
      return;
    case "pending":
    case "failed":
      return addBreach("lost", `${name} is stuck as ${route.status} after ${route.attempts} attempts`);
    default:
      return addBreach("wrong", `${name} is ${route.status}`);
  }
}

function judgeContent(
  copy: OutboundFact,
  { name, wanted, payload, addBreach }: { name: string; wanted: ExpectedRoute; payload: string; addBreach: AddBreach },
): void {
  if (copy.channel !== wanted.channel) addBreach("wrong", `${name} was published in the ${copy.channel} stream`);
  if (copy.to !== wanted.to) addBreach("wrong", `${name} went to ${copy.to}, not to ${wanted.to}`);
  if (copy.payload !== payload) addBreach("wrong", `${name} has another payload: ${copy.payload}`);
}
