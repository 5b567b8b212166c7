// In: what was sent and all that became of it, for a stretch of entries that is over. Out: every breach of the promise
// that each entry gets exactly one outcome and each route is published once. Pure. What the service says of itself is no
// evidence; what is to come out is worked out anew, from the entries in the stream's order.

import type { Channel, ExpectedRoute } from "./cast.ts";
import { entryMs, type SentEntry } from "./sent_entry.ts";

export const BREACHES = ["lost", "twice", "false dead letter", "wrong"] as const;

export interface Breach {
  readonly kind: typeof BREACHES[number];
  readonly text: string;
}

export interface RecordFact {
  readonly notificationId: string;
  readonly entryId: string;
}

export interface MalformedFact {
  readonly entryId: string;
  readonly code: string;
}

export interface RouteFact {
  readonly notificationId: string;
  readonly routeId: string;
  readonly status: string;
  readonly attempts: number;
  readonly classification: string;
  readonly publishedEntryId: string;
  readonly createdAtMs: number;
  readonly updatedAtMs: number;
}

export interface DeadLetterFact {
  readonly notificationId: string;
  readonly routeId: string;
}

/** An entry of an outbound stream. */
export interface OutboundFact {
  readonly channel: Channel;
  readonly entryId: string;
  /** `<notification id>/<route id>` */
  readonly deliveryId: string;
  readonly to: string;
  readonly payload: string;
}

/** A time in which a channel's outbound stream refused entries, so that its routes rightly used up attempts. */
export interface RefusalWindow {
  readonly channel: Channel;
  readonly fromMs: number;
  readonly toMs: number;
}

/** What earlier stretches have left behind. */
export interface Earlier {
  /** The content that a key stands for. */
  readonly keys: ReadonlyMap<string, string>;
  readonly deliveries: ReadonlySet<string>;
}

export interface Evidence {
  /** In the stream's order. */
  readonly sent: readonly SentEntry[];
  /** XADDs that Redis acknowledged: the producer's number and the entry id. */
  readonly acknowledged: readonly (readonly [number: number, entryId: string])[];
  readonly records: readonly RecordFact[];
  readonly malformed: readonly MalformedFact[];
  readonly routes: readonly RouteFact[];
  readonly deadLetters: readonly DeadLetterFact[];
  readonly outbound: readonly OutboundFact[];
  readonly refusals: readonly RefusalWindow[];
  readonly earlier: Earlier;
  /** Retention was as good as none: records that are finished may be gone, and then their deliveries alone count. */
  readonly finishedMayBeGone: boolean;
}

export interface Verdict {
  readonly breaches: readonly Breach[];
  /** For the next stretch. */
  readonly keys: ReadonlyMap<string, string>;
  readonly deliveries: ReadonlySet<string>;
}

type Expected =
  | {
    readonly kind: "accepted";
    readonly notificationId: string;
    readonly routes: readonly ExpectedRoute[];
    readonly payload: string;
  }
  | { readonly kind: "duplicate" }
  | { readonly kind: "malformed"; readonly code: string };

export function judge(evidence: Evidence): Verdict {
  const { sent, earlier } = evidence;
  const breaches: Breach[] = [];
  const note = (kind: Breach["kind"], text: string) => breaches.push({ kind, text });
  const keys = new Map<string, string>();
  const known = (key: string) => keys.get(key) ?? earlier.keys.get(key);

  missingFromStream(evidence, note);
  const records = groupBy(evidence.records, ({ entryId }) => entryId);
  const malformed = groupBy(evidence.malformed, ({ entryId }) => entryId);
  const routes = groupBy(evidence.routes, ({ notificationId }) => notificationId);
  const deadLetters = groupBy(evidence.deadLetters, deliveryIdOf);
  const outbound = groupBy(evidence.outbound, ({ deliveryId }) => deliveryId);
  const explained = new Set<string>();

  for (const entry of sent) {
    const expected = expectedOf(entry, known);
    if (expected.kind === "accepted" && entry.asks.kind === "intent") keys.set(entry.asks.key, entry.asks.content);
    const found = { records: records.get(entry.entryId) ?? [], malformed: malformed.get(entry.entryId) ?? [] };
    records.delete(entry.entryId);
    malformed.delete(entry.entryId);
    if (expected.kind !== "accepted") {
      judgeEntry(entry, { expected, found, note });
      for (const { notificationId } of found.records) routes.delete(notificationId);
      continue;
    }
    const { notificationId } = expected;
    const ids = expected.routes.map(({ routeId }) => `${notificationId}/${routeId}`);
    for (const id of ids) explained.add(id);
    if (found.records.length === 0 && evidence.finishedMayBeGone) {
      judgeDeliveries({ entry, expected, outbound }, note);
      continue;
    }
    judgeEntry(entry, { expected, found, note });
    for (const { notificationId: id } of found.records) {
      if (id !== notificationId) note("wrong", `the record of entry ${entry.entryId} is ${id}, not ${notificationId}`);
    }
    if (found.records.length === 0) continue;
    const own = routes.get(notificationId) ?? [];
    routes.delete(notificationId);
    judgeRoutes({ entry, expected, routes: own, deadLetters, outbound }, evidence, note);
  }

  for (const [entryId] of records) note("wrong", `a record of entry ${entryId}, which is not in the stream`);
  for (const [entryId] of malformed) note("wrong", `a malformed intent ${entryId}, which is not in the stream`);
  for (const [id, left] of routes) note("wrong", `${left.length} routes of ${id}, which has no record`);
  for (const [id] of deadLetters) note("wrong", `a dead letter of ${id}, whose route is none`);
  for (const [id, copies] of outbound) {
    if (explained.has(id)) continue;
    const ids = copies.map(({ entryId }) => entryId).join(" and ");
    if (earlier.deliveries.has(id)) note("twice", `${id} was published again as ${ids}`);
    else note("wrong", `${id} was published as ${ids}, but no route asks for it`);
  }
  return { breaches, keys, deliveries: new Set(outbound.keys()) };
}

type Note = (kind: Breach["kind"], text: string) => void;

function missingFromStream({ sent, acknowledged }: Evidence, note: Note): void {
  const numbers = new Map(sent.map(({ entryId, number }) => [entryId, number]));
  for (const [number, entryId] of acknowledged) {
    if (numbers.get(entryId) === number) continue;
    note("lost", `intent ${number} was acknowledged as ${entryId}, which is not in the stream`);
  }
}

function expectedOf({ asks }: SentEntry, known: (key: string) => string | undefined): Expected {
  if (asks.kind === "malformed") return { kind: "malformed", code: asks.code };
  const content = known(asks.key);
  if (content === asks.content) return { kind: "duplicate" };
  if (content !== undefined) return { kind: "malformed", code: "idempotency_conflict" };
  if (asks.routes === undefined) return { kind: "malformed", code: "recipient_not_found" };
  const { notificationId, routes, payload } = asks;
  return { kind: "accepted", notificationId, routes, payload };
}

function judgeEntry(
  { entryId, number }: SentEntry,
  { expected, found, note }: {
    expected: Expected;
    found: { records: readonly RecordFact[]; malformed: readonly MalformedFact[] };
    note: Note;
  },
): void {
  const entry = `entry ${entryId} (intent ${number}, ${expected.kind})`;
  const { records, malformed } = found;
  if (records.length > 1) return note("twice", `${entry} has ${records.length} records`);
  if (records.length + malformed.length > 1) return note("twice", `${entry} is both accepted and malformed`);
  const [bad] = malformed;
  switch (expected.kind) {
    case "accepted":
      if (bad !== undefined) note("wrong", `${entry} became malformed: ${bad.code}`);
      else if (records.length === 0) note("lost", `${entry} has no record`);
      return;
    case "duplicate":
      if (bad !== undefined) note("wrong", `${entry} became malformed: ${bad.code}`);
      else if (records.length > 0) note("twice", `${entry} was accepted`);
      return;
    case "malformed":
      if (records.length > 0) note("wrong", `${entry} was accepted, not ${expected.code}`);
      else if (bad === undefined) note("lost", `${entry} has no row as ${expected.code}`);
      else if (bad.code !== expected.code) note("wrong", `${entry} became ${bad.code}, not ${expected.code}`);
      return;
    default:
      expected satisfies never;
  }
}

/** Where the record may be gone: each route's one entry in the outbound stream. */
function judgeDeliveries(
  { entry, expected, outbound }: Pick<JudgedRecord, "entry" | "expected" | "outbound">,
  note: Note,
): void {
  for (const wanted of expected.routes) {
    const id = `${expected.notificationId}/${wanted.routeId}`;
    const copies = outbound.get(id) ?? [];
    const most = wanted.skipped === undefined ? 1 : 0;
    if (copies.length > most) note("twice", `${id} (entry ${entry.entryId}) was published ${copies.length} times`);
    if (copies.length < most) {
      note("lost", `${id} (entry ${entry.entryId}) was never published, and its record is gone`);
    }
  }
}

interface JudgedRecord {
  readonly entry: SentEntry;
  readonly expected: Extract<Expected, { kind: "accepted" }>;
  readonly routes: readonly RouteFact[];
  /** What is explained by a route is taken out. */
  readonly deadLetters: Map<string, readonly DeadLetterFact[]>;
  readonly outbound: ReadonlyMap<string, readonly OutboundFact[]>;
}

function judgeRoutes(judged: JudgedRecord, { refusals }: Evidence, note: Note): void {
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
    judgeRoute(route, { name, wanted, copies, letters, refusals, note });
  }
  for (const routeId of routes.keys()) note("wrong", `${notificationId}/${routeId} is a route nobody asked for`);
}

function judgeRoute(
  route: RouteFact,
  { name, wanted, copies, letters, refusals, note }: {
    name: string;
    wanted: ExpectedRoute;
    copies: readonly OutboundFact[];
    letters: number;
    refusals: readonly RefusalWindow[];
    note: Note;
  },
): void {
  const refused = refusals.some(({ channel, fromMs, toMs }) =>
    channel === wanted.channel && route.createdAtMs <= toMs && route.updatedAtMs >= fromMs
  );
  if (copies.length > 0 && route.status !== "published") note("wrong", `${name} is ${route.status} but published`);
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
      if (route.attempts !== 1 && !refused) note("wrong", `${name} was published at attempt ${route.attempts}`);
      return;
    case "dead_letter":
      if (!refused) note("false dead letter", `${name}: ${route.classification}`);
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

/** The consumer's place once nothing is left over, and how the stream ends. */
export interface PlaceFact {
  readonly row: { readonly entryId: string; readonly entriesRead: number } | undefined;
  readonly copy: { readonly entryId: string; readonly entriesRead: number } | undefined;
  readonly lastEntryId: string;
  readonly entriesAdded: number;
}

export function judgePlace({ row, copy, lastEntryId, entriesAdded }: PlaceFact): Breach[] {
  const breaches: Breach[] = [];
  for (const [name, place] of [["stream_offsets", row], ["the copy in Redis", copy]] as const) {
    if (place?.entryId !== lastEntryId) {
      breaches.push({ kind: "wrong", text: `${name} is at ${place?.entryId}, the last entry is ${lastEntryId}` });
    } else if (place.entriesRead !== entriesAdded) {
      breaches.push({ kind: "wrong", text: `${name} counts ${place.entriesRead} of ${entriesAdded} entries` });
    }
  }
  return breaches;
}

/** Deliveries that are in the outbound streams more than once, all stretches taken together. */
export function judgeStreams(deliveryIds: Iterable<string>): Breach[] {
  const seen = new Set<string>();
  const breaches: Breach[] = [];
  for (const id of deliveryIds) {
    if (seen.has(id)) breaches.push({ kind: "twice", text: `${id} is in the outbound stream more than once` });
    seen.add(id);
  }
  return breaches;
}

/** The milliseconds of the entry that a notification's id was made from. */
export function notificationMs(deliveryId: string): number {
  return parseInt(deliveryId.slice(0, 8) + deliveryId.slice(9, 13), 16);
}

export function isUpTo(entryId: string, ms: number): boolean {
  return entryMs(entryId) <= ms;
}

function deliveryIdOf({ notificationId, routeId }: DeadLetterFact): string {
  return `${notificationId}/${routeId}`;
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
