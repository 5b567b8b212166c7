/**
 * Records that this process accepted a moment ago, for its publishers, which then need not read them back.
 *
 * A record never changes, so that what is here is what PostgreSQL has. Bounded in number and in bytes of payload: the
 * oldest go first. Whatever is not here is read.
 */
import type { Intent } from "./intent.ts";
import type { StoredRecord } from "./route.ts";

/** Several times what waits between the consumer and the publishers while they keep up. */
const MAX_RECORDS = 5_000;
const MAX_PAYLOAD_CHARACTERS = 4 * 1024 * 1024;

export class RecentRecords {
  readonly #records = new Map<string, StoredRecord>();
  #characters = 0;

  /** To be called once the record is committed. */
  add(record: StoredRecord): void {
    this.#remove(record.notificationId);
    this.#records.set(record.notificationId, record);
    this.#characters += record.payload.length;
    for (const id of this.#records.keys()) {
      if (this.#records.size <= MAX_RECORDS && this.#characters <= MAX_PAYLOAD_CHARACTERS) break;
      this.#remove(id);
    }
  }

  get(notificationId: string): StoredRecord | undefined {
    return this.#records.get(notificationId);
  }

  #remove(notificationId: string): void {
    const record = this.#records.get(notificationId);
    if (record === undefined) return;
    this.#records.delete(notificationId);
    this.#characters -= record.payload.length;
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
