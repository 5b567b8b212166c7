/**
 * Records that this process accepted a moment ago, for its publishers, which then need not read them back.
 *
 * A record never changes. Only one that was accepted again, after PostgreSQL was put back to an earlier point, is another:
 * its routes have another time, which {@link RecentRecords.get} asks for. Bounded in number and in characters of payload:
 * half of them go at once, the older ones. Whatever is not here is read.
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

  /** @param createdAt of its route, as {@link AcceptanceTime.acceptedAt} */
  get(notificationId: string, createdAt: string): StoredRecord | undefined {
    const record = this.#newer.get(notificationId) ?? this.#older.get(notificationId);
    return record?.acceptedHereAt === createdAt ? record : undefined;
  }
}

/** The accepting transaction's time, by PostgreSQL's clock. */
export interface AcceptanceTime {
  /** Unix milliseconds. */
  readonly acceptedAtMs: string;
  /** As exact as PostgreSQL has it: what its routes' `created_at` is compared with. */
  readonly acceptedAt: string;
}

/** The record that an intent became, as it would be read back. */
export function recordOf(intent: Intent, { acceptedAtMs, acceptedAt }: AcceptanceTime): StoredRecord {
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
    acceptedHereAt: acceptedAt,
  };
}
