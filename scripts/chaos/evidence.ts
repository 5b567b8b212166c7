/**
 * The setting, and the millisecond up to which all entries are finished → the evidence on the entries since the last
 * call: the streams in Redis and the rows of the tables.
 *
 * Reads the stores directly, without the proxies and without code of the service. Each outbound entry is returned once,
 * with the stretch that its notification belongs to.
 */
import { streamOffsetKey } from "../../src/redis/keys.ts";
import type { Evidence, LossWindow, OffsetFact, OutboundFact, Tables } from "./facts.ts";
import { inStreamOrder, isIn, lostEntries, type LostEntriesOptions } from "./lost_entries.ts";
import { entryMs, notificationMs, type SentEntry, sentEntry } from "./sent_entry.ts";
import { type Setting, STREAMS } from "./setting.ts";

const PAGE = 2000;
const MAX_SHOWN = 20;

export class EvidenceReader {
  readonly #setting: Setting;
  readonly #keys = new Map<string, string>();
  readonly #deliveries = new Set<string>();
  #overMs = 0;
  /** The rows of the last stretch, as they were when it was read. */
  #last: (Tables & { readonly fromMs: number }) | undefined;
  /** Channel and id of each outbound entry. */
  readonly #judged = new Set<string>();
  readonly #read = { intents: "-", push: "-", email: "-" };
  /** Outbound entries that were read but belong to a later stretch. */
  #later: OutboundFact[] = [];
  /** All losses so far. */
  readonly #losses: LossWindow[] = [];

  constructor(setting: Setting) {
    this.#setting = setting;
  }

  /** Returns the evidence on the entries after the last call's `untilMs`, up to and including this `untilMs`. */
  async read(
    untilMs: number,
    { fieldsOf, ...given }:
      & Pick<Evidence, "acknowledged" | "refusals" | "losses" | "attemptLimits" | "finishedMayBeDeleted">
      & Pick<LostEntriesOptions, "fieldsOf">,
  ): Promise<Evidence> {
    this.#losses.push(...given.losses);
    const sent: SentEntry[] = [];
    for await (const [id, fields] of this.#entries("intents", String(untilMs))) sent.push(sentEntry(id, fields));
    const tables = await this.#readTables(this.#overMs + 1, untilMs);
    this.#last = { ...tables, fromMs: this.#overMs + 1 };
    const lost = await lostEntries(this.#setting, { ...given, ...tables, sent, fieldsOf });
    const outbound = this.#later;
    for await (const [id, fields] of this.#entries("push", "+")) outbound.push(clientEvent(id, fields));
    for await (const [id, fields] of this.#entries("email", "+")) outbound.push(mailCommand(id, fields));
    this.#later = outbound.filter(({ deliveryId }) => notificationMs(deliveryId) > untilMs);
    this.#overMs = untilMs;
    const over = outbound.filter(({ deliveryId }) => notificationMs(deliveryId) <= untilMs);
    for (const { channel, entryId } of over) this.#judged.add(`${channel} ${entryId}`);
    return {
      ...{ sent: lost.length === 0 ? sent : inStreamOrder([...sent, ...lost]), ...tables, ...given },
      outbound: over,
      earlier: { keys: this.#keys, deliveries: this.#deliveries },
    };
  }

  /** Returns the rows of the last stretch as they were when it was judged, and as they are now. */
  async readLastAgain(): Promise<{ before: Tables; now: Tables } | undefined> {
    if (this.#last === undefined) return undefined;
    return { before: this.#last, now: await this.#readTables(this.#last.fromMs, this.#overMs) };
  }

  /** Counts the routes and dead letters, of any age, without a record. */
  async orphans(): Promise<number> {
    const [row] = await this.#setting.query<{ orphans: number }>(
      `SELECT count(*)::int AS orphans
         FROM (SELECT notification_id FROM notification.routes
               UNION ALL SELECT notification_id FROM notification.dead_letters) AS row
        WHERE NOT EXISTS (SELECT FROM notification.records WHERE records.notification_id = row.notification_id)`,
    );
    return row?.orphans ?? 0;
  }

  /** Call this with the verdict on a stretch before the next one is read. */
  remember({ keys, deliveries }: { keys: ReadonlyMap<string, string>; deliveries: ReadonlySet<string> }): void {
    for (const [key, content] of keys) this.#keys.set(key, content);
    for (const id of deliveries) this.#deliveries.add(id);
  }

  /**
   * Returns how many outbound entries exist, how many were judged, how many have returned, and the first of the others.
   *
   * An entry has returned if Redis had lost it, its delivery was published again and judged, and it exists again: Redis
   * does not remove a transaction that is cut in its append-only file, and runs its commands at the next start
   * (docs/reliability.md). Readers that had read on do not see it.
   */
  async outboundEntries(): Promise<{ all: number; judged: number; returned: number; unjudged: readonly string[] }> {
    const { redis } = this.#setting;
    const [push, email] = await Promise.all([redis.xlen(STREAMS.push), redis.xlen(STREAMS.email)]);
    const found = { all: push + email, judged: this.#judged.size, returned: 0, unjudged: [] as string[] };
    if (found.all === found.judged) return found;
    this.#read.push = this.#read.email = "-";
    const add = (channel: string, id: string, deliveryId: string) => {
      if (this.#judged.has(`${channel} ${id}`)) return;
      const isLater = this.#later.some(({ entryId }) => entryId === id);
      const isRepeated = this.#deliveries.has(deliveryId);
      if (!isLater && isRepeated && isIn(this.#losses, "redis", entryMs(id))) found.returned++;
      else if (found.unjudged.length < MAX_SHOWN) {
        const where = isLater ? "belongs to a later stretch" : "never read";
        found.unjudged.push(
          `${channel} ${id} of ${deliveryId} (${where}${isRepeated ? ", judged as another entry" : ""})`,
        );
      }
    };
    for await (const [id, fields] of this.#entries("push", "+")) add("push", id, valueOf(fields, "event_id"));
    for await (const [id, fields] of this.#entries("email", "+")) add("email", id, valueOf(fields, "delivery_id"));
    return found;
  }

  async offset(): Promise<OffsetFact> {
    const { redis } = this.#setting;
    const [row] = await this.#setting.query<{ entry_id: string; entries_read: string }>(
      "SELECT entry_id, entries_read FROM notification.stream_offsets WHERE stream = $1",
      [STREAMS.intents],
    );
    const copy = await redis.hgetall(streamOffsetKey(STREAMS.intents));
    const info = await redis.xinfo("STREAM", STREAMS.intents) as unknown[];
    const infoOf = (name: string) => info[info.indexOf(name) + 1];
    return {
      row: row && { entryId: row.entry_id, entriesRead: Number(row.entries_read) },
      copy: copy["entry_id"] === undefined
        ? undefined
        : { entryId: copy["entry_id"], entriesRead: Number(copy["entries_read"]) },
      lastEntryId: String(infoOf("last-generated-id")),
      entriesAdded: Number(infoOf("entries-added")),
    };
  }

  async *#entries(which: keyof typeof STREAMS, to: string): AsyncGenerator<[string, string[]]> {
    for (;;) {
      const page = await this.#setting.redis.xrange(STREAMS[which], this.#read[which], to, "COUNT", PAGE);
      for (const entry of page) yield entry;
      if (page.length > 0) this.#read[which] = `(${page.at(-1)![0]}`;
      if (page.length < PAGE) return;
    }
  }

  async #readTables(fromMs: number, untilMs: number): Promise<Tables> {
    const ids = [firstNotificationId(fromMs), firstNotificationId(untilMs + 1)];
    const range = "notification_id >= $1 AND notification_id < $2";
    const [records, routes, deadLetters, malformed] = await Promise.all([
      this.#setting.query<Tables["records"][number]>(
        `SELECT notification_id AS "notificationId", stream_entry_id AS "entryId"
           FROM notification.records WHERE ${range}`,
        ids,
      ),
      this.#setting.query<Tables["routes"][number]>(
        `SELECT notification_id AS "notificationId", route_id AS "routeId", status, attempt_count AS attempts,
                max_attempts AS "maxAttempts",
                coalesce(last_error_classification, '') AS classification,
                coalesce(published_entry_id, '') AS "publishedEntryId",
                (extract(epoch FROM created_at) * 1000)::float8 AS "createdAtMs",
                (extract(epoch FROM updated_at) * 1000)::float8 AS "updatedAtMs"
           FROM notification.routes WHERE ${range}`,
        ids,
      ),
      this.#setting.query<Tables["deadLetters"][number]>(
        `SELECT notification_id AS "notificationId", route_id AS "routeId"
           FROM notification.dead_letters WHERE ${range}`,
        ids,
      ),
      this.#setting.query<Tables["malformed"][number]>(
        `SELECT stream_entry_id AS "entryId", failure_code AS code FROM notification.malformed_intents
          WHERE split_part(stream_entry_id, '-', 1)::bigint BETWEEN $1 AND $2`,
        [fromMs, untilMs],
      ),
    ]);
    return { records, routes, deadLetters, malformed };
  }
}

function clientEvent(entryId: string, fields: readonly string[]): OutboundFact {
  return {
    ...{ channel: "push", entryId, deliveryId: valueOf(fields, "event_id") },
    ...{ to: valueOf(fields, "user_id"), payload: valueOf(fields, "payload_bytes") },
  };
}

function mailCommand(entryId: string, fields: readonly string[]): OutboundFact {
  const text = valueOf(fields, "payload_json");
  // The text itself, not parsed: it has to be exactly the producer's text.
  const payload = text.slice(text.indexOf('"variables": ') + '"variables": '.length, -1);
  const { to } = JSON.parse(text) as { to: string[] };
  return { channel: "email", entryId, deliveryId: valueOf(fields, "delivery_id"), to: to.join(", "), payload };
}

function valueOf(fields: readonly string[], name: string): string {
  return fields[fields.indexOf(name) + 1] ?? "";
}

/** Returns the lowest possible notification id of an entry of this millisecond. */
export function firstNotificationId(ms: number): string {
  const time = ms.toString(16).padStart(12, "0");
  return `${time.slice(0, 8)}-${time.slice(8)}-0000-0000-000000000000`;
}
