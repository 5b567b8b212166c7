/**
 * The name of an inbound or outbound stream → a key of another type under this name, and later the original stream
 * again. Between the two, Redis refuses each entry with WRONGTYPE.
 */
import type { Setting } from "./setting.ts";

export async function putAside({ redis }: Setting, stream: string): Promise<void> {
  await redis.multi().rename(stream, asideKey(stream)).set(stream, "no stream").exec();
}

/** Does nothing if the name leads to a stream, which was then not put aside. */
export async function putBack({ redis }: Setting, stream: string): Promise<void> {
  if (await redis.type(stream) === "stream") return;
  await redis.multi().del(stream).rename(asideKey(stream), stream).exec();
}

function asideKey(stream: string): string {
  return `chaos:aside:${stream}`;
}
