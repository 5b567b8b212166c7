/**
 * The recipients of a batch → the User Service's answer about each. Every distinct user is looked up once.
 *
 * An answer is kept until the entries for which it was asked are accepted, so that during a stall only the missing
 * users are looked up again, however long the stall lasts. For later entries the users are looked up again, or found in
 * the cache.
 */
import type { Intent } from "../notification/intent.ts";
import type { User } from "../notification/routing.ts";
import type { UserService } from "../user_service/client.ts";
import type { UserAnswer } from "../user_service/user_answer.ts";
import { compareEntryIds } from "../redis/entry_ids.ts";

interface Held {
  readonly answer: UserAnswer;
  /** The last entry for which the user was looked up. */
  readonly entryId: string;
}

export class Recipients {
  readonly #userService: Pick<UserService, "lookUp">;
  readonly #held = new Map<string, Held>();

  constructor(userService: Pick<UserService, "lookUp">) {
    this.#userService = userService;
  }

  /** The intents must be in the order of their entries; answers for entries before the first one are dropped. */
  async find(intents: readonly Intent[], signal: AbortSignal): Promise<Map<string, UserAnswer>> {
    const answers = new Map<string, UserAnswer>();
    if (intents.length === 0) return answers;
    this.#dropBefore(intents[0]!.entry.id);
    const missing = new Map<string, string>();
    for (const { entry, recipientUserIds } of intents) {
      for (const id of recipientUserIds) {
        const held = this.#held.get(id);
        if (held === undefined) missing.set(id, entry.id);
        else answers.set(id, held.answer);
      }
    }
    if (missing.size === 0) return answers;
    for (const [id, answer] of await this.#userService.lookUp(missing.keys(), signal)) {
      answers.set(id, answer);
      if (answer.kind !== "unavailable") this.#held.set(id, { answer, entryId: missing.get(id)! });
    }
    return answers;
  }

  #dropBefore(entryId: string): void {
    for (const [id, held] of this.#held) {
      if (compareEntryIds(held.entryId, entryId) < 0) this.#held.delete(id);
    }
  }

  /** Call this when the whole batch is accepted. */
  release(): void {
    this.#held.clear();
  }
}

/** Why an intent can't be routed: the first of its recipients, in the intent's order, who was not found. */
export type RecipientProblem = {
  readonly userId: string;
  readonly answer: Exclude<UserAnswer, { kind: "found" }>;
};

export function areFound(intent: Intent, answers: ReadonlyMap<string, UserAnswer>): boolean {
  return intent.recipientUserIds.every((userId) => answers.get(userId)!.kind === "found");
}

/** The intent's users, or the first problem with one of them. */
export function usersOf(intent: Intent, answers: ReadonlyMap<string, UserAnswer>): User[] | RecipientProblem {
  const users: User[] = [];
  for (const userId of intent.recipientUserIds) {
    const answer = answers.get(userId)!;
    if (answer.kind !== "found") return { userId, answer };
    users.push(answer.user);
  }
  return users;
}
