/**
 * Decoded entries and what is known about their recipients and keys → what is to become of each. Pure.
 *
 * The order of the rules is that of docs/contract.md, section 2: the key is looked at before the recipients, because a
 * duplicate or a conflict is one whatever its recipients are.
 */
import { type Intent, type Malformed, malformedIntent } from "../notification/intent.ts";
import type { NewRoute } from "../notification/route.ts";
import { routesOf, type User } from "../notification/routing.ts";
import type { UserAnswer } from "../user_service/user_answer.ts";
import { areFound, type RecipientProblem, usersOf } from "./recipients.ts";

export type Decoded = Intent | Malformed;

/** An intent that becomes a record if its key is free. */
export interface Candidate {
  readonly intent: Intent;
  readonly routes: readonly NewRoute[];
}

export interface Judgement {
  /** At most one for each key. */
  readonly candidates: readonly Candidate[];
  /** Intents whose key a candidate or a record has: duplicates or conflicts, depending on the record's fingerprint. */
  readonly followers: readonly Intent[];
  readonly rejected: readonly Malformed[];
  /** How many entries, from the first, are judged: fewer than all when one has to wait for the User Service. */
  readonly covered: number;
  readonly stall: Stall | undefined;
}

/** The entry at which intake waits: the User Service does not answer for one of its recipients. */
export interface Stall {
  readonly entryId: string;
  readonly recipient: string;
  /** What the User Service answered instead, or why it did not answer. */
  readonly reason: string;
  readonly retryAfterMs: number | undefined;
}

export interface Known {
  readonly answers: ReadonlyMap<string, UserAnswer>;
  /** Keys ({@link keyOf}) that have a record, among those of the intents with a problem. */
  readonly recordedKeys: ReadonlySet<string>;
  readonly administratorEmails: ReadonlyMap<string, readonly string[]>;
}

/** Producer and idempotency key as one string. */
export function keyOf(intent: { readonly producer: string; readonly idempotencyKey: string }): string {
  return `${intent.producer}\0${intent.idempotencyKey}`;
}

/** The intents whose key has to be looked up before their recipients count. */
export function intentsWithProblems(decoded: readonly Decoded[], answers: ReadonlyMap<string, UserAnswer>): Intent[] {
  return decoded.filter((item): item is Intent => item.kind === "intent" && !areFound(item, answers));
}

export function judge(decoded: readonly Decoded[], known: Known): Judgement {
  const candidates: Candidate[] = [];
  const followers: Intent[] = [];
  const rejected: Malformed[] = [];
  const candidateKeys = new Set<string>();
  for (const [index, item] of decoded.entries()) {
    if (item.kind === "malformed") {
      rejected.push(item);
      continue;
    }
    const key = keyOf(item);
    if (candidateKeys.has(key) || known.recordedKeys.has(key)) {
      followers.push(item);
      continue;
    }
    const users = usersOf(item, known.answers);
    if (!("userId" in users)) {
      candidateKeys.add(key);
      candidates.push({ intent: item, routes: routesFor(item, users, known.administratorEmails) });
      continue;
    }
    const rejection = rejectionFor(item, users);
    if (rejection.kind === "malformed") {
      rejected.push(rejection);
      continue;
    }
    const { reason } = rejection;
    const retryAfterMs = longestRetryAfterMs(known.answers);
    const stall = { entryId: item.entry.id, recipient: users.userId, reason, retryAfterMs };
    return { candidates, followers, rejected, covered: index, stall };
  }
  return { candidates, followers, rejected, covered: decoded.length, stall: undefined };
}

function routesFor(
  intent: Intent,
  users: readonly User[],
  administratorEmails: ReadonlyMap<string, readonly string[]>,
): NewRoute[] {
  const { type, audienceKind } = intent;
  return routesOf({ type, audienceKind, users, administratorEmails: administratorEmails.get(type.name) ?? [] });
}

function rejectionFor(
  intent: Intent,
  { userId, answer }: RecipientProblem,
): Malformed | Extract<UserAnswer, { kind: "unavailable" }> {
  switch (answer.kind) {
    case "not_found":
      return malformedIntent(intent, "recipient_not_found", `no user ${JSON.stringify(userId)} exists`);
    case "invalid":
      return malformedIntent(intent, "invalid_recipients", `user id ${JSON.stringify(userId)}: ${answer.message}`);
    case "unavailable":
      return answer;
    default:
      return answer satisfies never;
  }
}

/** The longest wait that an answer asked for: the next pass repeats all missing look-ups. */
function longestRetryAfterMs(answers: ReadonlyMap<string, UserAnswer>): number | undefined {
  let longest: number | undefined;
  for (const answer of answers.values()) {
    if (answer.kind !== "unavailable" || answer.retryAfterMs === undefined) continue;
    longest = Math.max(longest ?? 0, answer.retryAfterMs);
  }
  return longest;
}
