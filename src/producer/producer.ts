/**
 * For services that send intents: {@link encodeIntent} checks one and gives its fields, {@link publishIntent} appends it.
 *
 * The package's export `./producer`. Works in Deno and Node with any client whose `xadd` takes key, id and fields, as
 * ioredis does.
 */
import { type AnyIntent, encodeIntent } from "./encode_intent.ts";

export { type AnyIntent, encodeIntent, type IntentOf, type NotificationType } from "./encode_intent.ts";
export { IntentRefused } from "./intent_refused.ts";
export type { IntentTypes } from "./intent_types.ts";

/** What is needed of a Redis client. */
export interface StreamAppender {
  xadd(key: string, id: string, ...fields: string[]): Promise<string | null>;
}

/**
 * Appends the intent and gives its entry id. Where the answer is lost, send the same intent again: its key makes sure
 * that it counts once.
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
