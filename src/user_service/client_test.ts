/**
 * The client with a real server on a free port: how it asks, how often, and that it has an answer for everything that
 * comes back.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import type { Clock } from "../clock.ts";
import { UserService, type UserServiceSettings } from "./client.ts";

type Handler = (id: string, request: Request) => Response | Promise<Response>;

const never = new AbortController().signal;
const found = (id: string) => Response.json({ user: { user_id: id, email: `${id}@example.com` } });
const missing = () => Response.json({ error: "no such user" }, { status: 404 });
const broken = (headers: Record<string, string> = {}) => new Response("broken", { status: 503, headers });
const ids = (count: number) => Array.from({ length: count }, (_, at) => `user-${at}`);

/** A User Service for this test, which notes the requests and how many are open at once. */
class Server {
  readonly paths: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #inFlight = 0;
  mostInFlight = 0;

  constructor(handler: Handler) {
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
      const path = request.url.slice(new URL(request.url).origin.length);
      this.paths.push(path);
      this.mostInFlight = Math.max(this.mostInFlight, ++this.#inFlight);
      try {
        return await handler(decodeURIComponent(path.slice(path.lastIndexOf("/") + 1)), request);
      } finally {
        this.#inFlight--;
      }
    });
  }

  get baseUrl(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}

interface Asked {
  readonly client: UserService;
  readonly observed: string[];
  readonly durationsMs: number[];
  /** The client's clocks, to be set. */
  readonly time: { now: number; monotonic: number };
}

function clientOf(baseUrl: string, settings: Partial<UserServiceSettings> = {}): Asked {
  const time = { now: 1_000_000, monotonic: 0 };
  const clock: Clock = {
    now: () => time.now,
    monotonic: () => time.monotonic,
    random: () => 0.5,
    sleep: () => Promise.resolve(),
  };
  const observed: string[] = [];
  const durationsMs: number[] = [];
  const client = new UserService(
    { baseUrl, timeoutMs: 5_000, maxConcurrency: 8, cacheTtlMs: 0, ...settings },
    {
      clock,
      observe: (durationMs, outcome) => {
        durationsMs.push(durationMs);
        observed.push(outcome);
      },
    },
  );
  return { client, observed, durationsMs, time };
}

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

Deno.test("lookUp() returns one answer for every id and asks for each once", async () => {
  await using server = new Server((id) => id === "user-1" ? missing() : found(id));
  const { client, observed } = clientOf(server.baseUrl);
  const answers = await client.lookUp([...ids(3), "user-0", "user-2"], never);
  assert.deepEqual([...answers].sort(), [
    ["user-0", { kind: "found", user: { userId: "user-0", email: "user-0@example.com", language: "" } }],
    ["user-1", { kind: "not_found" }],
    ["user-2", { kind: "found", user: { userId: "user-2", email: "user-2@example.com", language: "" } }],
  ]);
  assert.deepEqual(server.paths.sort(), ids(3).map((id) => `/api/v1/internal/users/${id}`));
  assert.deepEqual(observed.sort(), ["found", "found", "not_found"]);
  assert.equal((await client.lookUp([], never)).size, 0);
});

Deno.test("lookUp() measures time by the monotonic clock", async () => {
  await using server = new Server((id) => {
    time.now += 3_600_000;
    time.monotonic += 250;
    return found(id);
  });
  const { client, durationsMs, time } = clientOf(server.baseUrl);
  await client.lookUp(["a"], never);
  assert.deepEqual(durationsMs, [250]);
});

Deno.test("lookUp() asks with GET for JSON, below a base with a path", async () => {
  await using server = new Server((id, request) => {
    assert.equal(request.method, "GET");
    assert.equal(request.headers.get("accept"), "application/json");
    return found(id);
  });
  const { client } = clientOf(`${server.baseUrl}/base/v2`);
  assert.equal((await client.lookUp(["a"], never)).get("a")!.kind, "found");
  assert.deepEqual(server.paths, ["/base/v2/api/v1/internal/users/a"]);
});

Deno.test("lookUp() puts an id into one path segment, whatever it consists of", async () => {
  await using server = new Server(found);
  const { client } = clientOf(server.baseUrl, { maxConcurrency: 32 });
  const character = fc.oneof(
    fc.constantFrom(..."/?#%.\\ +&=;:@'\"<>{}|^`~\t\n"),
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 1 }),
  );
  const id = fc.array(character, { minLength: 1, maxLength: 12 }).map((parts) => parts.join(""));
  const odd = ["a/b", "../x", "...", "%2e%2e", "%", "a?b#c", "\\", "users/a", "☃", "a b", "'", "//"];
  const asked = [...new Set([...odd, ...fc.sample(id, 300)])].filter((text) => text !== "." && text !== "..");
  const answers = await client.lookUp(asked, never);
  assert.deepEqual(asked.filter((text) => answers.get(text)!.kind !== "found"), []);
  const segments = server.paths.filter((path) => path.split("/").length !== 6 || /[?#]/.test(path));
  assert.deepEqual(segments, []);
});

Deno.test("lookUp() keeps as many requests in flight as allowed, and no more", async () => {
  await using server = new Server(async (id) => {
    await later(2);
    return found(id);
  });
  const { client } = clientOf(server.baseUrl, { maxConcurrency: 5 });
  await client.lookUp(ids(60), never);
  assert.equal(server.mostInFlight, 5);
});

Deno.test("lookUp() reuses a found user within the cache's time", async () => {
  await using server = new Server((id) => id === "gone" ? missing() : found(id));
  const { client, time } = clientOf(server.baseUrl, { cacheTtlMs: 5_000 });
  const asked = async (...wanted: string[]) => {
    const before = server.paths.length;
    const answers = await client.lookUp(wanted, never);
    assert.equal(answers.size, wanted.length);
    return server.paths.length - before;
  };
  assert.equal(await asked("a", "gone"), 2);
  assert.equal(await asked("a", "gone"), 1, "only who was found is kept");
  time.monotonic += 4_999;
  // Setting the system's clock an hour back does not extend the life of a cached user.
  time.now -= 3_600_000;
  assert.equal(await asked("a", "b"), 1);
  time.monotonic += 1;
  assert.equal(await asked("a", "b"), 1);
});

Deno.test("lookUp() asks each time when the cache is off", async () => {
  await using server = new Server(found);
  const { client } = clientOf(server.baseUrl, { cacheTtlMs: 0 });
  for (let round = 0; round < 3; round++) await client.lookUp(["a"], never);
  assert.equal(server.paths.length, 3);
});

Deno.test("lookUp() doesn't follow redirects", async () => {
  await using server = new Server((id) => {
    if (id === "there") return found("here");
    return new Response(null, { status: 302, headers: { location: "/api/v1/internal/users/there" } });
  });
  const { client } = clientOf(server.baseUrl);
  const answers = await client.lookUp(["here"], never);
  assert.deepEqual(answers.get("here"), { kind: "unavailable", reason: "it answered with status 302" });
  assert.equal(server.paths.length, 1);
});

Deno.test("lookUp() doesn't wait longer than its time-out, neither for an answer nor for its end", async () => {
  const released = Promise.withResolvers<void>();
  await using server = new Server(async (id) => {
    if (id === "mute") await released.promise;
    const body = new ReadableStream<Uint8Array>({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode('{"user":'));
        await released.promise;
        controller.close();
      },
    });
    return new Response(body);
  });
  const { client, observed } = clientOf(server.baseUrl, { timeoutMs: 60 });
  const startedAt = performance.now();
  const answers = await client.lookUp(["mute", "slow"], never);
  assert.ok(performance.now() - startedAt < 2_000);
  const timedOut = { kind: "unavailable", reason: "no answer within 60 ms" };
  assert.deepEqual([answers.get("mute"), answers.get("slow")], [timedOut, timedOut]);
  assert.deepEqual(observed, ["unavailable", "unavailable"]);
  released.resolve();
  await later(10);
  client.close();
});

Deno.test("lookUp() ends at once when the signal aborts", async () => {
  const released = Promise.withResolvers<void>();
  await using server = new Server(async (id) => {
    await released.promise;
    return found(id);
  });
  const { client } = clientOf(server.baseUrl);
  const stop = new AbortController();
  const startedAt = performance.now();
  const looking = client.lookUp(ids(100), stop.signal);
  await later(20);
  stop.abort();
  const answers = await looking;
  assert.ok(performance.now() - startedAt < 4_000); // its own time-out comes after five seconds
  assert.equal(answers.size, 100);
  assert.ok([...answers.values()].every(({ kind }) => kind === "unavailable"));
  released.resolve();
  await later(10);
});

Deno.test("lookUp() treats garbage of any length as no answer", async () => {
  const mebibyte = "x".repeat(1024 * 1024);
  const replies: Record<string, () => Response> = {
    empty: () => new Response(null, { status: 204 }),
    text: () => new Response("hello"),
    bytes: () => new Response(new Uint8Array([0xff, 0xfe, 0])),
    truncated: () => new Response('{"user":{"user_id":"truncated"'),
    other: () => found("another"),
    zipped: () => new Response(new Uint8Array([1, 2, 3]), { headers: { "content-encoding": "gzip" } }),
    huge: () => Response.json({ user: { user_id: "huge", email: "a@b", more: mebibyte } }),
    endless: () =>
      new Response(ReadableStream.from((function* () {
        for (;;) yield new TextEncoder().encode(mebibyte);
      })())),
  };
  await using server = new Server((id) => replies[id]!());
  const { client } = clientOf(server.baseUrl);
  const answers = await client.lookUp(Object.keys(replies), never);
  for (const [id, answer] of answers) assert.equal(answer.kind, "unavailable", id);
  assert.deepEqual(answers.get("huge"), { kind: "unavailable", reason: "its answer is too long" });
  assert.deepEqual(answers.get("endless"), { kind: "unavailable", reason: "its answer is too long" });
});

Deno.test("lookUp() accepts an answer up to the limit", async () => {
  const more = "x".repeat(200_000);
  await using server = new Server((id) => Response.json({ user: { user_id: id, more } }));
  assert.equal((await clientOf(server.baseUrl).client.lookUp(["a"], never)).get("a")!.kind, "found");
});

Deno.test("lookUp() reports that the server can't be reached", async () => {
  const server = new Server(found);
  const { baseUrl } = server;
  await server[Symbol.asyncDispose]();
  const answers = await clientOf(baseUrl).client.lookUp(["a"], never);
  const answer = answers.get("a");
  assert.match(answer?.kind === "unavailable" ? answer.reason : "", /^it can't be reached: tcp connect error/);
});

Deno.test("lookUp() returns how long the server asks the client to wait", async () => {
  await using server = new Server((id) => id === "a" ? broken({ "retry-after": "90" }) : broken());
  const { client } = clientOf(server.baseUrl);
  const answers = await client.lookUp(["a", "b"], never);
  const reason = "it answered with status 503";
  assert.deepEqual(answers.get("a"), { kind: "unavailable", reason, retryAfterMs: 60_000 });
  assert.deepEqual(answers.get("b"), { kind: "unavailable", reason });
});

Deno.test("lookUp() stops early when everything fails, with an answer for every id", async () => {
  await using server = new Server(() => broken({ "retry-after": "1" }));
  const { client } = clientOf(server.baseUrl);
  const answers = await client.lookUp(ids(2_000), never);
  assert.equal(answers.size, 2_000);
  for (const answer of answers.values()) {
    assert.deepEqual(answer, { kind: "unavailable", reason: "it answered with status 503", retryAfterMs: 1_000 });
  }
  assert.ok(server.paths.length < 50, `${server.paths.length}`);
});

Deno.test("lookUp() doesn't stop when one in a hundred fails", async () => {
  const fails = (id: string) => Number(id.slice(5)) % 100 === 0;
  await using server = new Server((id) => fails(id) ? broken() : found(id));
  const { client } = clientOf(server.baseUrl, { maxConcurrency: 32 });
  const answers = await client.lookUp(ids(3_000), never);
  assert.equal(server.paths.length, 3_000);
  for (const [id, { kind }] of answers) assert.equal(kind, fails(id) ? "unavailable" : "found");
});
