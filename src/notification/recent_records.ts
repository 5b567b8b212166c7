/**
 * Records that this process accepted a moment ago, for its publishers, which then need not read them back.
 *
 * A record never changes, so that what is here is what PostgreSQL has. Bounded in number and in bytes of payload: half of
 * them go at once, the older ones. Whatever is not here is read.
 */
import type { Intent } from "./intent.ts";
import type { StoredRecord } from "./route.ts";

/** Of each half: several times what waits between the consumer and the publishers while they keep up. */
const MAX_RECORDS = 2_500;
const MAX_PAYLOAD_CHARACTERS = 2 * 1024 * 1024;
/** A record with a larger payload is not kept: memory is dearer than reading it back. */
const MAX_KEPT_PAYLOAD_CHARACTERS = 64 * 1024;

export class RecentRecords {
  #newer = new Map<string, StoredRecord>();
  #older = new Map<string, StoredRecord>();
  /** Of payload, in the newer half. */
  #characters = 0;

  /** To be called once the record is committed. */
  add(record: StoredRecord): void {
    if (record.payload.length > MAX_KEPT_PAYLOAD_CHARACTERS) return;
    if (this.#newer.size >= MAX_RECORDS || this.#characters >= MAX_PAYLOAD_CHARACTERS) {
      this.#older = this.#newer;
      this.#newer = new Map();
      this.#characters = 0;
    }
    this.#newer.set(record.notificationId, record);
    this.#characters += record.payload.length;
  }

  get(notificationId: string): StoredRecord | undefined {
    return this.#newer.get(notificationId) ?? this.#older.get(notificationId);
  }
}

/** The record that an intent became, as it would be read back. */
export function recordOf(intent: Intent, acceptedAtMs: string): StoredRecord {
  return {
    notificationId: intent.notificationId,
    notificationType: intent.type.name,
    producer: intent.producer,
    audienceKind: intent.audienceKind,
    payload: intent.payload,
    occurredAtMs: String(intent.occurredAtMs),
    acceptedAtMs,
    requestId: intent.requestId,
    traceId: intent.traceId,
    traceparent: intent.traceparent,
    streamEntryId: intent.entry.id,
    isFresh: true,
  };
}
