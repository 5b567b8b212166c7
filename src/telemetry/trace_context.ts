/**
 * W3C Trace Context: text in stream entries and records ↔ the context of a span.
 *
 * This file also makes the ids of spans. An id can be made from a name, and is then the same in every process and at
 * every repetition: an entry that is published again because an answer was lost is the same byte for byte.
 */
import { Buffer } from "node:buffer";
import { createHash, randomFillSync } from "node:crypto";
import { type SpanContext, TraceFlags } from "@opentelemetry/api";

/** @param traceparent empty, or in the form that intake accepts: `<version>-<trace>-<span>-<flags>…` */
export function parseTraceparent(traceparent: string): SpanContext | undefined {
  if (traceparent === "") return undefined;
  return {
    traceId: traceparent.slice(3, 35),
    spanId: traceparent.slice(36, 52),
    traceFlags: isSampled(traceparent) ? TraceFlags.SAMPLED : TraceFlags.NONE,
    isRemote: true,
  };
}

/** @param traceparent not empty */
export function isSampled(traceparent: string): boolean {
  return (Number.parseInt(traceparent.slice(53, 55), 16) & TraceFlags.SAMPLED) !== 0;
}

export function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${(traceFlags & TraceFlags.SAMPLED) === 0 ? "00" : "01"}`;
}

/** The producer's trace id, from its own field or from the `traceparent`; empty if there is neither. */
export function knownTraceId({ traceId, traceparent }: { traceId: string; traceparent: string }): string {
  return traceId === "" ? traceparent.slice(3, 35) : traceId;
}

/** Random ids, except for the span that begins right after {@link nameNext}. The SDK uses it as its `IdGenerator`. */
export class SpanIds {
  #next: string | undefined;

  /** Makes the next span's id from `name`. */
  nameNext(name: string): void {
    this.#next = createHash("sha256").update(name).digest("hex").slice(0, 16);
  }

  readonly generateSpanId = (): string => {
    const id = this.#next ?? randomHex(8);
    this.#next = undefined;
    return id;
  };

  readonly generateTraceId = (): string => randomHex(16);
}

const pool = Buffer.alloc(4096);
let used = pool.length;

/** From a pool, because each call for random bytes is expensive. */
function randomHex(bytes: number): string {
  if (used + bytes > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  return pool.toString("hex", used, used += bytes);
}
