/**
 * The entries of a stretch that is over, and what became of them → every breach of the promise that each entry gets
 * exactly one outcome and each route is published once. Pure. The expected outcomes are computed from the entries in
 * the stream's order; what the service reports about itself is not used.
 */
import type { Breach, DeadLetterFact, Evidence, MalformedFact, Note, PlaceFact, RecordFact, Tables } from "./facts.ts";
import { type Accepted, judgeDeliveries, judgeRoutes } from "./judge_routes.ts";
import { isIn } from "./lost_entries.ts";
import { entryMs, notificationMs, type SentEntry } from "./sent_entry.ts";

export interface Verdict {
  readonly breaches: readonly Breach[];
  /** The content of each key that was accepted, for the next stretch. */
  readonly keys: ReadonlyMap<string, string>;
  readonly deliveries: ReadonlySet<string>;
}

type Expected =
  | Accepted
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
      if (found.malformed.length > 0) {
        const isPublished = ids.some((id) => outbound.has(id));
        note(
          isPublished ? "twice" : "wrong",
          `entry ${entry.entryId} is ${isPublished ? "published and " : ""}malformed`,
        );
      }
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
  for (const [id] of deadLetters) note("wrong", `a dead letter of ${id}, which is no expected route`);
  for (const [id, copies] of outbound) {
    if (explained.has(id)) continue;
    const ids = copies.map(({ entryId }) => entryId).join(" and ");
    if (earlier.deliveries.has(id)) note("twice", `${id} was published again as ${ids}`);
    else if (isLostByBoth(id, evidence)) {
      if (copies.length > 1) note("twice", `${id}, which both stores have lost, was published as ${ids}`);
    } else note("wrong", `${id} was published as ${ids}, but no route asks for it`);
  }
  return { breaches, keys, deliveries: new Set(outbound.keys()) };
}

/**
 * Redis has lost the intent and PostgreSQL the record, so that only the outbound entries of the notification still
 * exist.
 */
function isLostByBoth(deliveryId: string, { losses }: Evidence): boolean {
  return losses.some(({ store }) => store === "postgres") && isIn(losses, "redis", notificationMs(deliveryId));
}

/** An entry that Redis lost before the service read it has no outcome: its producer has to send it again. */
function missingFromStream({ sent, acknowledged, losses }: Evidence, note: Note): void {
  const numbers = new Map(sent.map(({ entryId, number }) => [entryId, number]));
  for (const [number, entryId] of acknowledged) {
    if (numbers.get(entryId) === number || isIn(losses, "redis", entryMs(entryId))) continue;
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

/**
 * Rows that were judged must not change. A row may only have been deleted, if `mayBeGone` returns `true` for the
 * millisecond of its entry.
 */
export function judgeUnchanged(
  { before, now }: { before: Tables; now: Tables },
  mayBeGone: (entryMs: number) => boolean,
): Breach[] {
  const breaches: Breach[] = [];
  for (const table of ["records", "routes", "deadLetters", "malformed"] as const) {
    const left = new Map(before[table].map((row) => [JSON.stringify(row), row]));
    for (const row of now[table]) {
      const text = JSON.stringify(row);
      if (!left.delete(text)) breaches.push({ kind: "wrong", text: `after it was judged, ${table} has ${text}` });
    }
    for (const [text, row] of left) {
      const ms = "code" in row ? entryMs(row.entryId) : notificationMs(row.notificationId);
      if (!mayBeGone(ms)) breaches.push({ kind: "lost", text: `after it was judged, ${table} has lost ${text}` });
    }
  }
  return breaches;
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
