/**
 * For services that send intents: {@link encodeIntent} checks an intent and returns its fields, {@link publishIntent}
 * appends it.
 *
 * This is the package's export `./producer`. It works in Deno and Node with any client whose `xadd` takes key, id and
 * fields, such as ioredis.
 */
import { type AnyIntent, encodeIntent } from "./encode_intent.ts";

export { type AnyIntent, encodeIntent, type IntentOf, type NotificationType } from "./encode_intent.ts";
export { IntentRefused } from "./intent_refused.ts";
export type { IntentTypes } from "./intent_types.ts";

/** The part of a Redis client that is needed. */
export interface StreamAppender {
  xadd(key: string, id: string, ...fields: string[]): Promise<string | null>;
}

/**
 * Appends the intent and returns its entry id. If the answer is lost, send the same intent again: because of its key it
 * counts once.
 *
 * @throws IntentRefused before anything is sent, or the client's own error
 */
export async function publishIntent<Intent extends AnyIntent>(
  redis: StreamAppender,
  intent: Intent,
  { stream = "notification:intents" }: { readonly stream?: string } = {},
): Promise<string> {
  const id = await redis.xadd(stream, "*", ...encodeIntent(intent));
  if (id === null) throw new Error(`Redis appended nothing to ${stream}`);
  return id;
}
