/**
 * The User Service fails in ways that say nothing about the user. The service has to wait until the failure is over,
 * and must not lose or reject an intent.
 */
import { type Behaviour, refuse } from "../../servers/user_service.ts";
import { userOf } from "../notification_model.ts";
import { type Fault, pause } from "../fault.ts";
import { recovery, watermark } from "../recovery.ts";

const MAX_BACKOFF_SECONDS = 10;
/** The time-out of one look-up. */
const TIMEOUT_SECONDS = 1;
const MARGIN_SECONDS = 3;
const HTML = { "content-type": "text/html" };

export const USER_SERVICE_FAULTS: readonly Fault[] = [
  {
    name: "users-refusing",
    summary: "the User Service refuses connections",
    part: "users",
    outage: "user_service",
    recoversWithin: withinBackoff(),
    async inject({ setting, chance }) {
      await setting.users.stop();
      setting.proxies.users.refuse();
      await pause(chance.between(0.8, 2));
      setting.users.start();
      setting.proxies.users.accept();
      return { times: 1 };
    },
  },
  answering("500", "answers with status 500", () => new Response("oh", { status: 500 })),
  {
    ...answering("429", "answers with status 429 and Retry-After", () => {
      return Response.json({ error: { code: "too_many" } }, { status: 429, headers: { "retry-after": "1" } });
    }),
    recoversWithin: withinBackoff({ retryAfterSeconds: 1 }),
  },
  answering("garbage", "answers with garbage, or about another user", (id) => {
    return id.length % 2 === 0
      ? new Response('{"user": {"user_id": ')
      : Response.json({ user: { user_id: "somebody-else", email: "somebody@example.com" } });
  }),
  answering("redirect", "answers with redirects", () => {
    return new Response(null, { status: 302, headers: { location: "http://127.0.0.1:9/" } });
  }),
  answering("html-404", "is behind an ingress that answers 404 in HTML", () => {
    return new Response("<html><h1>404 page not found</h1></html>", { status: 404, headers: HTML });
  }),
  answering("slow", "answers after half a second, or after more than the time-out", async (id) => {
    const user = userOf(id);
    await pause(id.length % 2 === 0 ? 1.5 : 0.5);
    return user === undefined ? refuse(404, "not_found") : Response.json({ user: { user_id: id, ...user } });
  }),
  {
    name: "users-hanging",
    summary: "the User Service accepts requests and never answers",
    part: "users",
    outage: "user_service",
    recoversWithin: withinBackoff(),
    async inject({ setting, chance }) {
      const over = Promise.withResolvers<void>();
      const late = () => new Response("too late", { status: 503 });
      setting.users.behaviour = () => over.promise.then(late);
      await pause(chance.between(1.2, 3));
      setting.users.behaviour = undefined;
      over.resolve();
      return { times: 1 };
    },
  },
  {
    name: "users-flaky",
    summary: "one look-up in a hundred fails while lists of thousands are looked up",
    part: "users",
    async inject({ setting, mix, chance }) {
      mix.longLists.push(5000, chance.whole(500, 2000));
      let failed = 0;
      setting.users.behaviour = () => {
        if (!chance.oneIn(100)) return undefined;
        failed++;
        return new Response("oh", { status: 503 });
      };
      await pause(chance.between(1.5, 3));
      // The fault does not end meanwhile, and yet all intents have to get their outcomes.
      const { seconds, left } = await recovery(setting, await watermark(setting), 30);
      setting.users.behaviour = undefined;
      return {
        times: failed > 0 ? 1 : 0,
        note: `${failed} look-ups failed, through after ${seconds.toFixed(1)} s`,
        breaches: left === undefined ? [] : [{ kind: "lost", text: `stuck while one look-up in 100 fails: ${left}` }],
      };
    },
  },
];

/**
 * Returns the longest recovery after an outage. The pause between two attempts doubles up to ten seconds
 * (docs/contract.md, section 3), so the last pause may be about as long as the outage; then the waiting intents have to
 * be processed.
 */
export function withinBackoff({ retryAfterSeconds = 0 } = {}): (outageSeconds: number) => number {
  return (outageSeconds) =>
    Math.min(MAX_BACKOFF_SECONDS, 2 * outageSeconds) + TIMEOUT_SECONDS + retryAfterSeconds + MARGIN_SECONDS;
}

function answering(name: string, summary: string, behaviour: Behaviour): Fault {
  return {
    name: `users-${name}`,
    summary: `the User Service ${summary}`,
    part: "users",
    outage: "user_service",
    recoversWithin: withinBackoff(),
    async inject({ setting, chance }) {
      setting.users.behaviour = behaviour;
      await pause(chance.between(0.8, 2));
      setting.users.behaviour = undefined;
      return { times: 1 };
    },
  };
}
