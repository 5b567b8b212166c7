/** Many events → a counter, called once for each set of attributes among them. */
import type { Attributes, Counter } from "@opentelemetry/api";

export function countByKind<Item>(
  counter: Counter,
  items: readonly Item[],
  attributesOf: (item: Item) => Attributes,
): void {
  const kinds = new Map<string, { attributes: Attributes; items: number }>();
  for (const item of items) {
    const attributes = attributesOf(item);
    const key = Object.values(attributes).join("\0");
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, { attributes, items: 1 });
    else kind.items++;
  }
  for (const kind of kinds.values()) counter.add(kind.items, kind.attributes);
}
