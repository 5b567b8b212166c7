/** What happened to a route that was taken → its next state. Pure; contract, section 5. */
import type { Channel, DueRoute, FailureClassification } from "../notification/route.ts";
import { retryDelayMs, type RetryLadder } from "../notification/retry_ladder.ts";
import type { HandOffAnswer } from "./hand_off.ts";

export type Attempt =
  | Exclude<HandOffAnswer, { kind: "absent" }>
  /** The stored payload is not what the catalog says (any more). */
  | { readonly kind: "not_encodable"; readonly message: string };

export type Settlement =
  | { readonly kind: "published"; readonly route: DueRoute; readonly entryId: string }
  | { readonly kind: "failed"; readonly route: DueRoute; readonly failure: Failure; readonly retryInMs: number }
  | { readonly kind: "dead_letter"; readonly route: DueRoute; readonly failure: Failure }
  | { readonly kind: "unchanged"; readonly route: DueRoute };

export interface Failure {
  readonly classification: FailureClassification;
  readonly message: string;
}

const STREAM_FAILURE: Readonly<Record<Channel, FailureClassification>> = {
  push: "gateway_stream_publish_failed",
  email: "mail_stream_publish_failed",
};

export function settle(
  route: DueRoute,
  attempt: Attempt,
  { channel, ladder, random }: { channel: Channel; ladder: RetryLadder; random: number },
): Settlement {
  switch (attempt.kind) {
    case "published":
      return { kind: "published", route, entryId: attempt.entryId };
    case "unanswered":
      return { kind: "unchanged", route };
    case "not_encodable":
      return {
        kind: "dead_letter",
        route,
        failure: { classification: "payload_encoding_failed", message: attempt.message },
      };
    case "refused": {
      const failure = { classification: STREAM_FAILURE[channel], message: attempt.message };
      const { maxAttempts } = route;
      const retryInMs = retryDelayMs(ladder, { failedAttempts: route.attemptCount + 1, maxAttempts, random });
      return retryInMs === undefined
        ? { kind: "dead_letter", route, failure }
        : { kind: "failed", route, failure, retryInMs };
    }
    default:
      return attempt satisfies never;
  }
}
