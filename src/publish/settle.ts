/** The answer about a route → its outcome. Pure; docs/contract.md, section 5. */
import type { Channel, ClaimedRoute, FailureClassification } from "../notification/route.ts";
import { retryDelayMs, type RetryLadder } from "../notification/retry_ladder.ts";
import type { HandOffAnswer, Publication } from "./hand_off.ts";

export type Outcome =
  | { readonly kind: "published"; readonly route: ClaimedRoute; readonly publication: Publication }
  | { readonly kind: "failed"; readonly route: ClaimedRoute; readonly failure: Failure; readonly retryInMs: number }
  | { readonly kind: "dead_letter"; readonly route: ClaimedRoute; readonly failure: Failure }
  /** The route stays claimed, and is due when the claim ends. */
  | {
    readonly kind: "unchanged";
    readonly route: ClaimedRoute;
    readonly reason: "unanswered" | "late" | "unknown_type";
  };

interface Failure {
  readonly classification: FailureClassification;
  readonly message: string;
}

export interface SettleOptions {
  readonly channel: Channel;
  readonly ladder: RetryLadder;
  /** In [0, 1). */
  readonly random: number;
  /** Unix milliseconds. */
  readonly nowMs: number;
}

const STREAM_FAILURE: Readonly<Record<Channel, FailureClassification>> = {
  push: "gateway_stream_publish_failed",
  email: "mail_stream_publish_failed",
};

/** For this long, routes of a type that this catalog doesn't have are left to instances of another version. */
const FOREIGN_TYPE_MS = 3_600_000;

export function settle(route: ClaimedRoute, answer: HandOffAnswer, options: SettleOptions): Outcome {
  switch (answer.kind) {
    case "published":
      return { kind: "published", route, publication: answer.publication };
    case "unanswered":
    case "late":
      return { kind: "unchanged", route, reason: answer.kind };
    case "absent":
      return notEncodable(route, options);
    case "refused":
      return attemptFailed(route, answer.message, options);
    default:
      return answer satisfies never;
  }
}

function notEncodable(route: ClaimedRoute, { nowMs }: SettleOptions): Outcome {
  const { acceptedAtMs, problem } = route.record;
  if (problem?.kind === "unknown_type" && nowMs - Number(acceptedAtMs) < FOREIGN_TYPE_MS) {
    return { kind: "unchanged", route, reason: "unknown_type" };
  }
  const message = problem === undefined ? "" : problem.message;
  return { kind: "dead_letter", route, failure: { classification: "payload_encoding_failed", message } };
}

function attemptFailed(route: ClaimedRoute, message: string, { channel, ladder, random }: SettleOptions): Outcome {
  const { attemptCount, maxAttempts } = route;
  const failure = { classification: STREAM_FAILURE[channel], message };
  const retryInMs = retryDelayMs(ladder, { failedAttempts: attemptCount + 1, maxAttempts, random });
  return retryInMs === undefined
    ? { kind: "dead_letter", route, failure }
    : { kind: "failed", route, failure, retryInMs };
}
