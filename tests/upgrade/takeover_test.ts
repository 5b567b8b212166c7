/**
 * Version 0.1 is killed and leaves entries and routes in every state. The current version takes over: each gets the
 * right outcome, once.
 */
import assert from "node:assert/strict";
import { startRedis } from "../../scripts/servers/redis.ts";
import { refuse } from "../../scripts/servers/user_service.ts";
import { type Outcome, outcomeOf, type RouteRow } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { Environment, ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";
import { provideVersion01 } from "./version_0_1.ts";

const PUSH = "gateway:client-events";
/** So long that the route still waits when the current version starts. */
const LONG_BACKOFF = "45s";
/** How long version 0.1 owns the routes that it accepted. */
const FRESH_MS = 2_000;
/** Until the longest back-off is over. */
const SETTLES_WITHIN_MS = 90_000;

/** Entry ids by the state in which version 0.1 leaves them. */
interface Left {
  /** Push and e-mail published. */
  readonly published: string;
  /** E-mail skipped, push published. */
  readonly skipped: string;
  /** Push given up. */
  readonly deadLetter: string;
  /** Push failed once of three times, and will be tried much later. */
  readonly failedLater: string;
  /** Push failed once of two times, and will be tried much later. */
  readonly lastLater: string;
  /** Push failed once of two times, and is due. */
  readonly lastDue: string;
  /** The e-mail is in its stream, but its outcome is not written. */
  readonly handedOff: string;
  /** Never tried, and due. */
  readonly due: string;
  /** Accepted a moment ago. */
  readonly born: string;
  readonly unread: string;
}

Deno.test("entries and routes of version 0.1 in every state get the right outcome, once", async () => {
  await using version01 = await provideVersion01();
  await using redis = await startRedis({ appendOnly: true });
  await using rig = await openRig({
    redisServer: redis,
    users: [
      ...["user-1", "user-due", "user-born", "user-unread"].map((id) => [id, { email: `${id}@example.com` }] as const),
      ["user-unreachable", {}],
    ],
  });
  const left = await leaveEveryState(rig, (env) => startVersion(rig, env, version01.root));
  const before = await outcomes(rig, left);
  assertLeft(before);

  // The push stream still refuses entries until the last attempt that is due has failed.
  const service = await rig.start({ NOTIFICATION_ROUTE_BACKOFF_MIN: "10s", NOTIFICATION_ROUTE_BACKOFF_MAX: "10s" });
  await eventually(async () => statusOf(await outcomeOf(rig, left.lastDue), "push") === "dead_letter", {
    timeoutMs: 30_000,
    message: () => `The last attempt was not given up:\n${service.output()}\n`,
  });
  await putPushBack(rig);
  rig.users.behaviour = undefined;
  await rig.settled({ timeoutMs: SETTLES_WITHIN_MS });
  const after = await outcomes(rig, left);
  assertEnded(before, after);
  // The first start on what version 0.1 has left finds no loss.
  assert.deepEqual(await rig.query("SELECT * FROM notification.repairs"), []);
  const findings = service.logs.filter(({ message }) => /lost|another stream|trimmed unread/.test(message));
  assert.deepEqual(findings, []);
  assert.equal((await service.terminate()).code, 0);
});

/** Lets instances of version 0.1 work and die until there is an entry for each state. */
async function leaveEveryState(rig: Rig, start: (env: Environment) => Promise<ServiceProcess>): Promise<Left> {
  const patient = { NOTIFICATION_ROUTE_BACKOFF_MIN: LONG_BACKOFF, NOTIFICATION_ROUTE_BACKOFF_MAX: LONG_BACKOFF };
  let instance = await start({ NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "1" });
  const published = await rig.addIntent();
  const skipped = await rig.addIntent({ recipient_user_ids_json: '["user-unreachable"]' });
  await rig.settled();
  await putPushAside(rig);
  const deadLetter = await rig.addIntent();
  await rig.settled();
  await instance.kill();

  const failOnce = async (attempts: string): Promise<string> => {
    instance = await start({ ...patient, NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: attempts });
    const entryId = await rig.addIntent();
    await eventually(async () => {
      const outcome = await outcomeOf(rig, entryId);
      return statusOf(outcome, "push") === "failed" && statusOf(outcome, "email") === "published";
    });
    await instance.kill();
    return entryId;
  };
  const failedLater = await failOnce("3");
  const lastLater = await failOnce("2");

  instance = await start({
    NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "2",
    NOTIFICATION_ROUTE_BACKOFF_MIN: "3s",
    NOTIFICATION_ROUTE_BACKOFF_MAX: "3s",
  });
  const lastDue = await rig.addIntent();
  await eventually(async () => {
    const outcome = await outcomeOf(rig, lastDue);
    return statusOf(outcome, "push") === "failed" && statusOf(outcome, "email") === "published";
  });
  const handedOff = await leaveHandedOff(rig);
  // A full Redis keeps everything else as it is, and the User Service decides when an entry is accepted.
  const unknown = new Set(["user-due", "user-born", "user-unread"]);
  rig.users.behaviour = (id) => unknown.has(id) ? refuse(503, "later") : undefined;
  const addFor = (user: string) => rig.addIntent({ recipient_user_ids_json: JSON.stringify([user]) });
  const [due, born, unread] = [await addFor("user-due"), await addFor("user-born"), await addFor("user-unread")];
  await rig.redis.config("SET", "maxmemory", "1");
  unknown.delete("user-due");
  const accepted = async (entryId: string) => (await outcomeOf(rig, entryId)).routes.length > 0;
  await eventually(() => accepted(due), { timeoutMs: 20_000 });
  await eventually(async () => {
    const { routes } = await outcomeOf(rig, lastDue);
    return routes.every(({ next_attempt_at: at }) => at === null || at.getTime() < Date.now() - FRESH_MS);
  });
  await new Promise((resolve) => setTimeout(resolve, 1.2 * FRESH_MS));
  unknown.delete("user-born");
  await eventually(() => accepted(born), { timeoutMs: 20_000 });
  await instance.kill();
  await rig.query("DROP TRIGGER refuse_outcome ON notification.routes");
  await rig.redis.config("SET", "maxmemory", "0");
  return { published, skipped, deadLetter, failedLater, lastLater, lastDue, handedOff, due, born, unread };
}

/** An e-mail is in its stream, and its outcome can't be written: each try fails as when PostgreSQL crashes. */
async function leaveHandedOff(rig: Rig): Promise<string> {
  await rig.query(`
    CREATE FUNCTION notification.refuse_outcome() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'crash' USING ERRCODE = '57P02'; END $$`);
  await rig.query(`
    CREATE TRIGGER refuse_outcome BEFORE UPDATE OF status ON notification.routes FOR EACH ROW
    WHEN (NEW.status = 'published') EXECUTE FUNCTION notification.refuse_outcome()`);
  const entryId = await rig.addIntent({
    notification_type: "lobby.invite.expired",
    producer: "game-lobby",
    payload_json: '{"game_id":"g","game_name":"Nebula","invitee_user_id":"user-2","invitee_name":"Bruno"}',
  });
  await eventually(async () => (await outcomeOf(rig, entryId)).mailCommands.length === 1);
  return entryId;
}

function assertLeft(left: Outcomes): void {
  const now = Date.now();
  const isDue = ({ next_attempt_at: at }: RouteRow) => at === null ? "never" : at.getTime() <= now ? "due" : "later";
  const states = Object.fromEntries(
    Object.entries(left).map(([name, { routes }]) => [
      name,
      routes.map((route) =>
        [
          `${route.channel} ${route.status}`,
          `${route.attempt_count}/${route.max_attempts}`,
          isDue(route),
        ].join(" ")
      ),
    ]),
  );
  assert.deepEqual(states, {
    published: ["email published 1/7 never", "push published 1/1 never"],
    skipped: ["email skipped 0/7 never", "push published 1/1 never"],
    deadLetter: ["email published 1/7 never", "push dead_letter 1/1 never"],
    failedLater: ["email published 1/7 never", "push failed 1/3 later"],
    lastLater: ["email published 1/7 never", "push failed 1/2 later"],
    lastDue: ["email published 1/7 never", "push failed 1/2 due"],
    handedOff: ["email pending 0/7 due"],
    due: ["email pending 0/7 due", "push pending 0/2 due"],
    born: ["email pending 0/7 due", "push pending 0/2 due"],
    unread: [],
  });
}

function assertEnded(before: Outcomes, after: Outcomes): void {
  const states = Object.fromEntries(
    Object.entries(after).map(([name, outcome]) => [
      name,
      outcome.routes.map((route) => {
        const { length } = entriesOf(outcome, route);
        return `${route.channel} ${route.status} at attempt ${route.attempt_count}, ${length} entries`;
      }),
    ]),
  );
  const published = (channel: string, attempt = 1) => `${channel} published at attempt ${attempt}, 1 entries`;
  const givenUp = (attempts: number) => `push dead_letter at attempt ${attempts}, 0 entries`;
  assert.deepEqual(states, {
    published: [published("email"), published("push")],
    skipped: ["email skipped at attempt 0, 0 entries", published("push")],
    deadLetter: [published("email"), givenUp(1)],
    failedLater: [published("email"), published("push", 2)],
    lastLater: [published("email"), published("push", 2)],
    lastDue: [published("email"), givenUp(2)],
    handedOff: [published("email")],
    // The stream still refused entries at their first attempt.
    due: [published("email"), published("push", 2)],
    born: [published("email"), published("push", 2)],
    unread: [published("email"), published("push")],
  });
  for (const [name, outcome] of Object.entries(after)) {
    for (const route of outcome.routes) {
      const [entry] = entriesOf(outcome, route);
      assert.equal(route.published_entry_id, entry?.entryId ?? null, `${name}, ${route.route_id}`);
      const letters = outcome.deadLetters.filter(({ route_id: id }) => id === route.route_id).length;
      assert.equal(letters, route.status === "dead_letter" ? 1 : 0, `dead letters of ${name}, ${route.route_id}`);
      const earlier = before[name as keyof Left].routes.find(({ route_id: id }) => id === route.route_id);
      if (earlier?.next_attempt_at === null) assert.deepEqual(route, earlier, `${name} was terminal`);
      else if (route.status === "published" && earlier?.status === "failed") {
        const publishedAt = Number(entry!.entryId.split("-")[0]);
        assert.ok(publishedAt >= earlier.next_attempt_at.getTime() - 1, `${name} was published before its time`);
      }
    }
  }
  assert.equal(before.handedOff.mailCommands[0]!.entryId, after.handedOff.mailCommands[0]!.entryId);
}

type Outcomes = Readonly<Record<keyof Left, Outcome>>;

async function outcomes(rig: Rig, left: Left): Promise<Outcomes> {
  const found: [string, Outcome][] = [];
  for (const [name, entryId] of Object.entries(left)) found.push([name, await outcomeOf(rig, entryId)]);
  return Object.fromEntries(found) as unknown as Outcomes;
}

function entriesOf({ clientEvents, mailCommands }: Outcome, { channel, notification_id, route_id }: RouteRow) {
  const id = `${notification_id}/${route_id}`;
  return channel === "push"
    ? clientEvents.filter(({ fields }) => fields["event_id"] === id)
    : mailCommands.filter(({ fields }) => fields["delivery_id"] === id);
}

function statusOf({ routes }: Outcome, channel: string): string | undefined {
  return routes.find((route) => route.channel === channel)?.status;
}

async function startVersion(rig: Rig, env: Environment, root: string): Promise<ServiceProcess> {
  return await (await rig.spawn(env, { root })).ready();
}

async function putPushAside({ redis }: Rig): Promise<void> {
  await redis.multi().rename(PUSH, "aside").set(PUSH, "no stream").exec();
}

async function putPushBack({ redis }: Rig): Promise<void> {
  await redis.multi().del(PUSH).rename("aside", PUSH).exec();
}
