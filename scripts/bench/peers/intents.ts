/**
 * The intent stream → batches of intents; deliveries → entries of the two outbound streams.
 *
 * Every entry is read once, from the beginning of the stream, as the service does. A batch never contains the same
 * dedup key twice, because two of the libraries refuse that. Only the needed fields are checked, which is far less than
 * the service checks.
 */
import type { Redis } from "ioredis";

const INTENTS = "notification:intents";
const BATCH_SIZE = 500;
const BLOCK_MS = 1_000;

export interface Intent {
  /** Producer and idempotency key, without a colon, which BullMQ reserves. */
  readonly dedupKey: string;
  readonly requestId: string;
  readonly payload: string;
}

export const CHANNELS = ["push", "email"] as const;
type Channel = (typeof CHANNELS)[number];

/** The data of a job. */
export interface Delivery extends Intent {
  readonly channel: Channel;
}

const OUTBOUND = {
  push: { stream: "gateway:client-events", payloadField: "payload_bytes" },
  email: { stream: "mail:delivery_commands", payloadField: "payload_json" },
} as const satisfies Record<Channel, unknown>;

/** Ends within a second after `stop` aborts. The next batch is read after the caller has processed this one. */
export async function* readIntents(redis: Redis, stop: AbortSignal): AsyncGenerator<Intent[]> {
  let after = "0-0";
  while (!stop.aborted) {
    const reply = await redis.xread("COUNT", BATCH_SIZE, "BLOCK", BLOCK_MS, "STREAMS", INTENTS, after);
    const entries = reply?.[0]?.[1] ?? [];
    const last = entries.at(-1);
    if (last === undefined) continue;
    after = last[0];
    const intents = entries.map(([id, fields]) => intentOf(id, fields));
    yield [...new Map(intents.map((intent) => [intent.dedupKey, intent])).values()];
  }
}

export function deliveriesOf(intents: readonly Intent[]): Delivery[] {
  return intents.flatMap((intent) => CHANNELS.map((channel) => ({ channel, ...intent })));
}

/** The connection sends all commands of one turn of the event loop as one pipeline (`peer.ts`). */
export async function publish(redis: Redis, { channel, dedupKey, requestId, payload }: Delivery): Promise<void> {
  const { stream, payloadField } = OUTBOUND[channel];
  await redis.xadd(stream, "*", "request_id", requestId, "notification_id", dedupKey, payloadField, payload);
}

function intentOf(id: string, fields: readonly string[]): Intent {
  const byName = new Map<string, string>();
  for (let i = 0; i + 1 < fields.length; i += 2) byName.set(fields[i]!, fields[i + 1]!);
  const field = (name: string) => {
    const value = byName.get(name);
    if (value === undefined) throw new Error(`Entry ${id} of ${INTENTS} has no field ${name}`);
    return value;
  };
  return {
    dedupKey: `${encodeURIComponent(field("producer"))}/${encodeURIComponent(field("idempotency_key"))}`,
    requestId: field("request_id"),
    payload: field("payload_json"),
  };
}
