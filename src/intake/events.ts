/**
 * What happens to intents → metrics, spans and logs. One method for each event; none of them throws. Names, units and
 * attributes are those of section 9 of docs/contract.md.
 *
 * `intent.process` is one span for each intent, from its reading to the commit that gave it its outcome.
 */
import type { Clock } from "../clock.ts";
import type { Catalog } from "../notification/catalog.ts";
import type { Intent, Malformed } from "../notification/intent.ts";
import { countByKind } from "../telemetry/count_by_kind.ts";
import type { Instruments } from "../telemetry/instruments.ts";
import { loggerOf } from "../telemetry/logger.ts";
import { type SpanError, SpanKind, Spans, type Tracing } from "../telemetry/spans.ts";
import { knownTraceId } from "../telemetry/trace_context.ts";
import type { AcceptanceResult } from "./accept.ts";
import type { Candidate, Decoded } from "./judge.ts";

export type IntakeEvents = ReturnType<typeof createIntakeEvents>;

export interface IntakeEventsOptions {
  /** The intent stream. */
  readonly stream: string;
  readonly catalog: Catalog;
  readonly instruments: Instruments;
  readonly tracing: Tracing | undefined;
  readonly clock: Clock;
}

const MAX_FIELD_CHARS = 256;

interface LostTail {
  readonly offset: string;
  /** The entry after which reading resumes. */
  readonly resumedBehind: string;
  readonly lastGeneratedId: string;
}

export function createIntakeEvents({ stream, catalog, instruments, tracing, clock }: IntakeEventsOptions) {
  const spans = new Spans("intent.process", tracing);
  const logger = loggerOf("intent_consumer");

  return {
    /**
     * Begins a span for each intent of a batch, malformed ones too. The caller continues with the intents that are
     * returned.
     */
    withSpans(items: readonly Decoded[]): readonly Decoded[] {
      if (!spans.isOn) return items;
      const startTime = clock.now();
      return items.map((item) => withSpan(spans, item, { stream, startTime }));
    },

    /** Call this when the outcomes of a batch are committed. */
    outcomes({ accepted, duplicates, malformed }: Extract<AcceptanceResult, { kind: "done" }>): void {
      countByKind(instruments.intents, accepted, ({ intent }) => counted("accepted", intent.type.name));
      countByKind(instruments.intents, duplicates, (intent) => counted("duplicate", intent.type.name));
      countByKind(instruments.intents, malformed, (item) => counted("malformed", knownType(item)));
      countByKind(instruments.malformedIntents, malformed, ({ code }) => ({ failure_code: code }));
      countByKind(instruments.skipped, accepted.flatMap(skippedRoutes), (attributes) => attributes);
      for (const { intent } of accepted) logAccepted(intent);
      for (const intent of duplicates) logDuplicate(intent);
      for (const item of malformed) logMalformed(item);
    },

    /** Time to accept one batch. */
    acceptDuration(durationMs: number): void {
      instruments.accept.record(durationMs / 1000);
    },

    /** The stream's ids are ahead of Redis's clock. */
    idsAhead(stream_entry_id: string, ahead_ms: number): void {
      logger.warn("the ids of the intent stream are ahead of the clock: they do not show how old an entry is", {
        stream,
        stream_entry_id,
        ahead_ms,
      });
    },

    /** PostgreSQL has come back with an earlier offset than its copy in Redis. */
    commitsLost({ offset, copy }: { readonly offset: string; readonly copy: string }): void {
      logger.warn("PostgreSQL lost commits: its offset is behind the copy in Redis, entries are read again", {
        offset,
        copy,
      });
    },

    /** The intent stream ends before the offset, and is the same stream. */
    tailLost({ offset, resumedBehind, lastGeneratedId }: LostTail): void {
      logger.error(
        "Redis lost the last entries of the intent stream: intents that producers sent may be missing",
        {
          stream,
          offset,
          resumed_behind: resumedBehind,
          last_generated_id: lastGeneratedId,
        },
      );
    },

    /** The intent stream is another one than was read before. */
    anotherStream({ offset, lastGeneratedId }: Omit<LostTail, "resumedBehind">): void {
      const fields = { stream, offset, last_generated_id: lastGeneratedId };
      logger.error("another stream has the old name: it is read from its beginning", fields);
    },

    /** The entry at the offset seems not to have been read. */
    offsetWithoutOutcome(offset: string): void {
      logger.error(
        "the entry at the offset has no outcome: another stream may have the old name, what is before it is not read",
        { stream, offset },
      );
    },

    /** Entries that were deleted before they were read. */
    trimmedUnread(entries: number): void {
      instruments.trimmed.add(entries);
      logger.error(`${entries} entries of the intent stream were trimmed unread`, { stream, entries });
    },
  };

  function knownType({ notificationType }: Malformed): string {
    return catalog.has(notificationType) ? notificationType : "unknown";
  }

  function logAccepted(intent: Intent): void {
    const fields = intentFields(intent);
    const span = spans.fieldsOf(intent.entry);
    logger.info("accepted", span.span_id === undefined ? fields : { ...fields, ...span });
    end(intent, "accepted", fields);
  }

  function logDuplicate(intent: Intent): void {
    const fields = intentFields(intent);
    logger.debug("duplicate", { ...fields, ...spans.fieldsOf(intent.entry) });
    end(intent, "duplicate", fields);
  }

  function logMalformed(item: Malformed): void {
    const fields = malformedFields(item);
    const known = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== ""));
    const problem = { classification: item.code, reason: item.message };
    logger.warn("malformed intent", { ...known, ...spans.fieldsOf(item.entry), ...problem });
    end(item, "malformed", fields, { type: item.code, message: item.message });
  }

  function end({ entry }: Decoded, outcome: string, fields: IntentFields, error?: SpanError): void {
    spans.end(entry, () => ({ attributes: spanAttributes(outcome, fields), error }));
  }
}

function counted(outcome: string, notification_type: string) {
  return { outcome, notification_type };
}

function skippedRoutes({ routes }: Candidate): { channel: string; classification: string }[] {
  return routes.flatMap(({ channel, skipped }) => skipped === undefined ? [] : [{ channel, classification: skipped }]);
}

/** The item with the `traceparent` of its own span, which its routes then continue. */
function withSpan(spans: Spans, item: Decoded, { stream, startTime }: { stream: string; startTime: number }): Decoded {
  const { id } = item.entry;
  const { traceparent, span } = spans.begin({
    idName: `intent.process ${stream} ${id}`,
    traceparent: item.traceparent,
    kind: SpanKind.CONSUMER,
    startTime,
    attributes: () => ({
      "messaging.system": "redis",
      "messaging.operation.type": "process",
      "messaging.operation.name": "process",
      "messaging.destination.name": stream,
      "messaging.message.id": id,
    }),
  });
  spans.keep(item.entry, span);
  return traceparent === item.traceparent ? item : { ...item, traceparent };
}

/** The log fields of an intent, as far as they are known; undefined fields are not logged. */
interface IntentFields {
  readonly notification_type: string;
  readonly producer: string;
  readonly audience_kind: string;
  readonly notification_id?: string;
  readonly stream_entry_id: string;
  readonly request_id: string | undefined;
  readonly trace_id: string | undefined;
}

function intentFields(intent: Intent): IntentFields {
  return {
    notification_type: intent.type.name,
    producer: intent.producer,
    audience_kind: intent.audienceKind,
    notification_id: intent.notificationId,
    stream_entry_id: intent.entry.id,
    ...correlation(intent),
  };
}

function malformedFields(item: Malformed): IntentFields {
  return {
    notification_type: item.notificationType.slice(0, MAX_FIELD_CHARS),
    producer: item.producer.slice(0, MAX_FIELD_CHARS),
    audience_kind: item.audienceKind.slice(0, MAX_FIELD_CHARS),
    stream_entry_id: item.entry.id,
    ...correlation(item),
  };
}

function correlation({ requestId, traceId, traceparent }: { requestId: string; traceId: string; traceparent: string }) {
  const trace = knownTraceId({ traceId, traceparent });
  return {
    request_id: requestId === "" ? undefined : requestId.slice(0, MAX_FIELD_CHARS),
    trace_id: trace === "" ? undefined : trace.slice(0, MAX_FIELD_CHARS),
  };
}

function spanAttributes(outcome: string, fields: IntentFields) {
  const { notification_type, producer, audience_kind, notification_id, request_id } = fields;
  return {
    "notification.outcome": outcome,
    "notification.type": notification_type,
    "notification.producer": producer,
    "notification.audience_kind": audience_kind,
    ...(notification_id === undefined ? {} : { "notification.id": notification_id }),
    ...(request_id === undefined ? {} : { "messaging.message.conversation_id": request_id }),
  };
}
