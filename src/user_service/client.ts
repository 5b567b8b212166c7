/**
 * User ids → the User Service's answer about each, with bounded concurrency, a cache of found users, and a bound on
 * every request. Never rejects: a failure is the answer `unavailable` for the ids concerned.
 */
import { type Clock, timeOutSignal } from "../clock.ts";
import { isAboutTls, reasonOf } from "./reason.ts";
import { type FoundUser, retryAfterMs, type UserAnswer, userAnswer } from "./user_answer.ts";

export interface UserServiceSettings {
  /** Without a slash at its end. */
  readonly baseUrl: string;
  readonly timeoutMs: number;
  readonly maxConcurrency: number;
  /** 0 turns the cache off. */
  readonly cacheTtlMs: number;
}

/** A valid answer has a few hundred bytes; a longer one than this is refused. */
const MAX_BODY_BYTES = 256 * 1024;
const MAX_CACHED_USERS = 100_000;
/** After this many failures in one round the service counts as down, unless more look-ups succeed than fail. */
const FAILURES_BEFORE_GIVING_UP = 16;

export class UserService {
  readonly #settings: UserServiceSettings;
  readonly #clock: Clock;
  readonly #observe: (durationMs: number, outcome: string) => void;
  readonly #authorities: () => readonly string[];
  /** `undefined` until the first time-out or failed handshake: Deno's own connections are used. */
  #connections: Deno.HttpClient | undefined;
  readonly #cache = new Map<string, { readonly user: FoundUser; readonly untilMs: number }>();

  /**
   * @param observe called after every request, with its duration and the kind of its answer
   * @param authorities the certificates of authorities to trust besides those known at the start, read when a handshake
   * failed
   */
  constructor(
    settings: UserServiceSettings,
    { clock, observe, authorities = () => [] }: {
      clock: Clock;
      observe: (durationMs: number, outcome: string) => void;
      authorities?: () => readonly string[];
    },
  ) {
    this.#settings = settings;
    this.#clock = clock;
    this.#observe = observe;
    this.#authorities = authorities;
  }

  /** One answer for every id. After many failures the remaining ids are `unavailable` without a request. */
  async lookUp(userIds: Iterable<string>, signal: AbortSignal): Promise<Map<string, UserAnswer>> {
    const answers = new Map<string, UserAnswer>();
    const missing: string[] = [];
    const now = this.#clock.monotonic();
    for (const id of new Set(userIds)) {
      const cached = this.#cache.get(id);
      if (cached !== undefined && cached.untilMs > now) answers.set(id, { kind: "found", user: cached.user });
      else missing.push(id);
    }
    if (missing.length > 0) await this.#askAll(missing, answers, signal);
    return answers;
  }

  async #askAll(userIds: readonly string[], answers: Map<string, UserAnswer>, signal: AbortSignal): Promise<void> {
    let next = 0;
    let failed = 0;
    let lastFailure: UserAnswer | undefined;
    const isDown = () => failed >= FAILURES_BEFORE_GIVING_UP && failed * 2 > next;
    const worker = async () => {
      while (next < userIds.length && !isDown()) {
        const id = userIds[next++]!;
        const answer = await this.#ask(id, signal);
        if (answer.kind === "unavailable") {
          failed++;
          lastFailure = answer;
        } else if (answer.kind === "found") {
          this.#remember(answer.user);
        }
        answers.set(id, answer);
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.#settings.maxConcurrency, userIds.length) }, worker));
    while (next < userIds.length) answers.set(userIds[next++]!, lastFailure!);
  }

  async #ask(userId: string, signal: AbortSignal): Promise<UserAnswer> {
    const startedAt = this.#clock.monotonic();
    const answer = await this.#request(userId, signal);
    this.#observe(this.#clock.monotonic() - startedAt, answer.kind);
    return answer;
  }

  async #request(userId: string, signal: AbortSignal): Promise<UserAnswer> {
    const connections = this.#connections;
    try {
      const response = await fetch(`${this.#settings.baseUrl}/api/v1/internal/users/${encodeURIComponent(userId)}`, {
        ...(connections && { client: connections }),
        redirect: "manual",
        headers: { accept: "application/json" },
        signal: AbortSignal.any([signal, timeOutSignal(this.#settings.timeoutMs)]),
      });
      const body = await boundedText(response);
      if (body === undefined) return { kind: "unavailable", reason: "its answer is too long" };
      const answer = userAnswer(userId, response.status, body);
      if (answer.kind !== "unavailable") return answer;
      const pauseMs = retryAfterMs(response.headers.get("retry-after"), this.#clock.now());
      return pauseMs === undefined ? answer : { ...answer, retryAfterMs: pauseMs };
    } catch (error) {
      const timedOut = error instanceof DOMException && error.name === "TimeoutError";
      if (timedOut || isAboutTls(error)) this.#replace(connections);
      const reason = timedOut ? `no answer within ${this.#settings.timeoutMs} ms` : reasonOf(error);
      return { kind: "unavailable", reason };
    }
  }

  /**
   * If a firewall has dropped the idle connections, each of them would cost another time-out; after a failed handshake
   * the authority may have been replaced. Requests over the old connections continue.
   */
  #replace(connections: Deno.HttpClient | undefined): void {
    if (this.#connections !== connections) return;
    this.#connections = openConnections(this.#authorities());
    connections?.close();
  }

  /** Call this when no look-up is running. */
  close(): void {
    this.#connections?.close();
    this.#connections = undefined;
  }

  #remember(user: FoundUser): void {
    if (this.#settings.cacheTtlMs === 0) return;
    // Insertion order is age: the entries that expire first come first.
    this.#cache.delete(user.userId);
    this.#cache.set(user.userId, { user, untilMs: this.#clock.monotonic() + this.#settings.cacheTtlMs });
    if (this.#cache.size > MAX_CACHED_USERS) this.#cache.delete(this.#cache.keys().next().value!);
  }
}

function openConnections(authorities: readonly string[]): Deno.HttpClient {
  try {
    return Deno.createHttpClient({ caCerts: [...authorities] });
  } catch {
    // The file holds no certificates, for example because it is half written: the next failed handshake says so.
    return Deno.createHttpClient({});
  }
}

/** The body as text; `undefined` if it is longer than any valid answer. */
async function boundedText(response: Response): Promise<string | undefined> {
  const announced = response.headers.get("content-length");
  // Reading it whole takes half as long as in pieces, and it can't be longer than announced.
  if (announced !== null && Number(announced) <= MAX_BODY_BYTES) return await response.text();
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) return undefined;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
