/**
 * Users, and optionally a behaviour that replaces the normal answers → a stand-in for the User Service on a free port
 * of 127.0.0.1.
 *
 * It answers `GET /api/v1/internal/users/{user_id}` as described in docs/contract.md, section 3, and keeps the id of
 * every request. While `behaviour` is set, this function answers instead.
 */
import { freePort } from "./free_port.ts";

export interface User {
  readonly email?: string | null;
  readonly preferred_language?: string | null;
}

/** Answers a request instead of the stand-in. If it returns `undefined`, the stand-in answers as usual. */
export type Behaviour = (id: string, request: Request) => Response | Promise<Response> | undefined;

export interface UserServiceOptions {
  /** By user id. They can be changed at any time through `users` of the returned service. */
  readonly users?: Iterable<readonly [string, User]>;
  /** Called for an id that is not in `users`, for tests with very many users. */
  readonly otherUsers?: (id: string) => User | undefined;
  readonly behaviour?: Behaviour;
}

export interface UserService extends AsyncDisposable {
  readonly baseUrl: string;
  readonly users: Map<string, User>;
  /** The requested ids, one for each request, in the order of arrival. */
  readonly requestedIds: string[];
  /** Requests that are being answered now, and the maximum so far. */
  readonly inFlight: { now: number; max: number };
  behaviour: Behaviour | undefined;
  /** Aborts the current requests; connections are refused until `start`. */
  stop(): Promise<void>;
  start(): void;
}

const PREFIX = "/api/v1/internal/users/";

export function startUserService(options: UserServiceOptions = {}): UserService {
  let port = freePort();
  let abort = new AbortController();
  let server: Deno.HttpServer | undefined;
  const service: UserService = {
    baseUrl: "",
    users: new Map(options.users),
    requestedIds: [],
    inFlight: { now: 0, max: 0 },
    behaviour: options.behaviour,
    async stop() {
      abort.abort();
      await server?.finished;
      server = undefined;
    },
    start() {
      if (server !== undefined) throw new Error("The User Service is running already");
      abort = new AbortController();
      server = Deno.serve({ hostname: "127.0.0.1", port, signal: abort.signal, onListen: () => {} }, handle);
    },
    [Symbol.asyncDispose]: () => service.stop(),
  };
  for (;;) {
    try {
      service.start();
      return Object.assign(service, { baseUrl: `http://127.0.0.1:${port}` });
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
      port = freePort();
    }
  }

  async function handle(request: Request): Promise<Response> {
    const id = requestedId(request);
    if (id === undefined) return new Response("no such page", { status: 404 });
    service.requestedIds.push(id);
    service.inFlight.max = Math.max(service.inFlight.max, ++service.inFlight.now);
    try {
      const replacement = service.behaviour?.(id, request);
      if (replacement !== undefined) return await replacement;
      const user = service.users.get(id) ?? options.otherUsers?.(id);
      if (user === undefined) return refuse(404, "not_found");
      return Response.json({ user: { user_id: id, ...user } });
    } finally {
      service.inFlight.now--;
    }
  }
}

function requestedId(request: Request): string | undefined {
  const { pathname } = new URL(request.url);
  if (request.method !== "GET" || !pathname.startsWith(PREFIX)) return undefined;
  const segment = pathname.slice(PREFIX.length);
  return segment === "" || segment.includes("/") ? undefined : decodeURIComponent(segment);
}

/** A refusal in the form of the User Service: a JSON body with a member `error`. */
export function refuse(status: number, code: string): Response {
  return Response.json({ error: { code } }, { status });
}

/** Never answers. */
export function hang(): Promise<Response> {
  return new Promise(() => {});
}

/** Begins a valid answer and closes the connection in the middle of it. */
export function breakOff(id: string): Response {
  const start = `{"user": {"user_id": ${JSON.stringify(id)}, `;
  const headers = { "content-type": "application/json", "content-length": String(2 * start.length) };
  return new Response(ReadableStream.from([new TextEncoder().encode(start)]), { headers });
}
