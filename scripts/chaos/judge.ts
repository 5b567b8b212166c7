/**
 * The entries of a stretch that is over, and what became of them → every breach of the promise that each entry gets
 * exactly one outcome and each route is published once. Pure. The expected outcomes are computed from the entries in
 * the stream's order; what the service reports about itself is not used.
 */
import type {
  AddBreach,
  Breach,
  DeadLetterFact,
  Evidence,
  MalformedFact,
  OffsetFact,
  RecordFact,
  Tables,
} from "./facts.ts";
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
  const addBreach = (kind: Breach["kind"], text: string) => breaches.push({ kind, text });
  const keys = new Map<string, string>();
  const known = (key: string) => keys.get(key) ?? earlier.keys.get(key);

  missingFromStream(evidence, addBreach);
  const records = groupBy(evidence.records, ({ entryId }) => entryId);
  const malformed = groupBy(evidence.malformed, ({ entryId }) => entryId);
  const routes = groupBy(evidence.routes, ({ notificationId }) => notificationId);
  const deadLetters = groupBy(evidence.deadLetters, deliveryIdOf);
  const outbound = groupBy(evidence.outbound, ({ deliveryId }) => deliveryId);
  const explained = new Set<string>();

  for (const entry of sent) {
    const expected = expectedOf(entry, known);
    if (expected.kind === "accepted" && entry.parsed.kind === "intent") {
      keys.set(entry.parsed.key, entry.parsed.content);
    }
    const found = { records: records.get(entry.entryId) ?? [], malformed: malformed.get(entry.entryId) ?? [] };
    records.delete(entry.entryId);
    malformed.delete(entry.entryId);
    if (expected.kind !== "accepted") {
      judgeEntry(entry, { expected, found, addBreach });
      for (const { notificationId } of found.records) routes.delete(notificationId);
      continue;
    }
    const { notificationId } = expected;
    const ids = expected.routes.map(({ routeId }) => `${notificationId}/${routeId}`);
    for (const id of ids) explained.add(id);
    if (found.records.length === 0 && evidence.finishedMayBeDeleted) {
      judgeDeliveries({ entry, expected, outbound }, addBreach);
      if (found.malformed.length > 0) {
        const isPublished = ids.some((id) => outbound.has(id));
        addBreach(
          isPublished ? "twice" : "wrong",
          `entry ${entry.entryId} is ${isPublished ? "published and " : ""}malformed`,
        );
      }
      continue;
    }
    judgeEntry(entry, { expected, found, addBreach });
    for (const { notificationId: id } of found.records) {
      if (id !== notificationId) {
        addBreach("wrong", `the record of entry ${entry.entryId} is ${id}, not ${notificationId}`);
      }
    }
    if (found.records.length === 0) continue;
    const own = routes.get(notificationId) ?? [];
    routes.delete(notificationId);
    judgeRoutes({ entry, expected, routes: own, deadLetters, outbound }, evidence, addBreach);
  }

  for (const [entryId] of records) addBreach("wrong", `a record of entry ${entryId}, which is not in the stream`);
  for (const [entryId] of malformed) addBreach("wrong", `a malformed intent ${entryId}, which is not in the stream`);
  for (const [id, left] of routes) addBreach("wrong", `${left.length} routes of ${id}, which has no record`);
  for (const [id] of deadLetters) addBreach("wrong", `a dead letter of ${id}, which is no expected route`);
  for (const [id, copies] of outbound) {
    if (explained.has(id)) continue;
    const ids = copies.map(({ entryId }) => entryId).join(" and ");
    if (earlier.deliveries.has(id)) addBreach("twice", `${id} was published again as ${ids}`);
    else if (isLostByBoth(id, evidence)) {
      if (copies.length > 1) addBreach("twice", `${id}, which both stores have lost, was published as ${ids}`);
    } else addBreach("wrong", `${id} was published as ${ids}, but no route asks for it`);
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
function missingFromStream({ sent, acknowledged, losses }: Evidence, addBreach: AddBreach): void {
  const numbers = new Map(sent.map(({ entryId, number }) => [entryId, number]));
  for (const [number, entryId] of acknowledged) {
    if (numbers.get(entryId) === number || isIn(losses, "redis", entryMs(entryId))) continue;
    addBreach("lost", `intent ${number} was acknowledged as ${entryId}, which is not in the stream`);
  }
}

function expectedOf({ parsed }: SentEntry, known: (key: string) => string | undefined): Expected {
  if (parsed.kind === "malformed") return { kind: "malformed", code: parsed.code };
  const content = known(parsed.key);
  if (content === parsed.content) return { kind: "duplicate" };
  if (content !== undefined) return { kind: "malformed", code: "idempotency_conflict" };
  if (parsed.routes === undefined) return { kind: "malformed", code: "recipient_not_found" };
  const { notificationId, routes, payload } = parsed;
  return { kind: "accepted", notificationId, routes, payload };
}

function judgeEntry(
  { entryId, number }: SentEntry,
  { expected, found, addBreach }: {
    expected: Expected;
    found: { records: readonly RecordFact[]; malformed: readonly MalformedFact[] };
    addBreach: AddBreach;
  },
): void {
  const entry = `entry ${entryId} (intent ${number}, ${expected.kind})`;
  const { records, malformed } = found;
  if (records.length > 1) return addBreach("twice", `${entry} has ${records.length} records`);
  if (records.length + malformed.length > 1) return addBreach("twice", `${entry} is both accepted and malformed`);
  const [bad] = malformed;
  switch (expected.kind) {
    case "accepted":
      if (bad !== undefined) addBreach("wrong", `${entry} became malformed: ${bad.code}`);
      else if (records.length === 0) addBreach("lost", `${entry} has no record`);
      return;
    case "duplicate":
      if (bad !== undefined) addBreach("wrong", `${entry} became malformed: ${bad.code}`);
      else if (records.length > 0) addBreach("twice", `${entry} was accepted`);
      return;
    case "malformed":
      if (records.length > 0) addBreach("wrong", `${entry} was accepted, not ${expected.code}`);
      else if (bad === undefined) addBreach("lost", `${entry} has no row as ${expected.code}`);
      else if (bad.code !== expected.code) addBreach("wrong", `${entry} became ${bad.code}, not ${expected.code}`);
      return;
    default:
      expected satisfies never;
  }
}

/**
 * Rows that were judged must not change. A row may only have been deleted, if `mayBeDeleted` returns `true` for the
 * millisecond of its entry.
 */
export function judgeUnchanged(
  { before, now }: { before: Tables; now: Tables },
  mayBeDeleted: (entryMs: number) => boolean,
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
      if (!mayBeDeleted(ms)) breaches.push({ kind: "lost", text: `after it was judged, ${table} has lost ${text}` });
    }
  }
  return breaches;
}

export function judgeOffset({ row, copy, lastEntryId, entriesAdded }: OffsetFact): Breach[] {
  const breaches: Breach[] = [];
  for (const [name, offset] of [["stream_offsets", row], ["the copy in Redis", copy]] as const) {
    if (offset?.entryId !== lastEntryId) {
      breaches.push({ kind: "wrong", text: `${name} is at ${offset?.entryId}, the last entry is ${lastEntryId}` });
    } else if (offset.entriesRead !== entriesAdded) {
      breaches.push({ kind: "wrong", text: `${name} counts ${offset.entriesRead} of ${entriesAdded} entries` });
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
