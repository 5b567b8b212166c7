/**
 * The recipients of a batch → what the User Service says about each, every distinct user asked for once.
 *
 * What is known of a user is held until the batch is through, so that a stall asks only for those still missing however long it
 * lasts and however many there are.
 */
import type { Intent } from "../notification/intent.ts";
import type { User } from "../notification/routing.ts";
import type { UserService } from "../user_service/client.ts";
import type { UserAnswer } from "../user_service/user_answer.ts";

export class Recipients {
  readonly #userService: UserService;
  readonly #held = new Map<string, UserAnswer>();

  constructor(userService: UserService) {
    this.#userService = userService;
  }

  async find(intents: readonly Intent[], signal: AbortSignal): Promise<Map<string, UserAnswer>> {
    const answers = new Map<string, UserAnswer>();
    const missing = new Set<string>();
    for (const { recipientUserIds } of intents) {
      for (const id of recipientUserIds) {
        const held = this.#held.get(id);
        if (held === undefined) missing.add(id);
        else answers.set(id, held);
      }
    }
    if (missing.size === 0) return answers;
    for (const [id, answer] of await this.#userService.lookUp(missing, signal)) {
      answers.set(id, answer);
      if (answer.kind !== "unavailable") this.#held.set(id, answer);
    }
    return answers;
  }

  /** To be called when the batch is through: the next one asks anew, or the cache. */
  release(): void {
    this.#held.clear();
  }
}

/** What keeps an intent from being routed: the first of its recipients, in its order, who was not found. */
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
