/**
 * Redis comes back with less than it acknowledged, and PostgreSQL goes away, or the only instance is killed, before all is
 * repaired: then every route is published exactly once (docs/contract.md, section 11).
 */
import assert from "node:assert/strict";
import type pg from "pg";
import { type Postgres, startPostgres } from "../../scripts/servers/postgres.ts";
import { startRedis } from "../../scripts/servers/redis.ts";
import { addAndPublish, keepAppendOnlyFile, refusedHandOffs, untilPublished } from "../support/losses.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

/** What a test does around the loss. */
interface Moment {
  readonly name: string;
  /** Whether the new server is still unchecked while PostgreSQL is away. */
  readonly isUnchecked: boolean;
  /** Loses the last entries of Redis and stops PostgreSQL. */
  readonly lose: (
    loseTail: () => Promise<void>,
    stores: { readonly rig: Rig; readonly postgres: Postgres },
  ) => Promise<void>;
}

const MOMENTS: readonly Moment[] = [
  {
    name: "before Redis is checked",
    isUnchecked: true,
    async lose(loseTail, { postgres }) {
      await postgres.stop("immediate");
      await loseTail();
    },
  },
  {
    name: "during the check of Redis",
    isUnchecked: true,
    async lose(loseTail, { rig, postgres }) {
      await atLock(rig, {
        lock: "SELECT FROM notification.stream_offsets WHERE stream = 'mail:delivery_commands' FOR UPDATE",
        // The repair of the other stream is committed already.
        openRepairs: 1,
        loseTail,
      }, () => postgres.stop("immediate"));
    },
  },
  {
    name: "during the repair",
    isUnchecked: false,
    async lose(loseTail, { rig, postgres }) {
      await atLock(
        rig,
        { lock: "SELECT FROM notification.routes FOR UPDATE", openRepairs: 2, loseTail },
        () => postgres.stop("immediate"),
      );
    },
  },
];

for (const { name, isUnchecked, lose } of MOMENTS) {
  Deno.test(`PostgreSQL goes away ${name}: nothing is published meanwhile, then each lost route once`, async () => {
    await using redisServer = await startRedis({ appendOnly: true });
    await using postgres = await startPostgres();
    await using rig = await openRig({ redisServer, postgresServer: postgres });
    const service = await rig.start();
    await addAndPublish(rig, 3, 6);
    const loseTail = await keepAppendOnlyFile(redisServer);
    const kept = await entries(rig);
    await addAndPublish(rig, 4, 14);
    const lost = [...(await entries(rig)).keys()].filter((id) => !kept.has(id));

    await lose(loseTail, { rig, postgres });
    await eventually(() => rig.redis.ping());
    for (let added = 0; added < 2; added++) await rig.addIntent();
    if (isUnchecked) await eventually(async () => await refusedHandOffs(rig) >= 4, { message: () => service.output() });
    await eventually(() => outages(service).some(({ dependency }) => dependency === "postgres"), {
      message: () => service.output(),
    });
    assert.deepEqual(await entries(rig), kept);

    await postgres.start();
    await untilRepaired(rig, service);
    await untilPublished(rig, 18);
    await rig.settled();
    const found = await entries(rig);
    assert.equal(found.size, 18);
    // Kept entries are the same ones, and lost routes have the same ids.
    for (const [id, entryIds] of kept) assert.deepEqual(found.get(id), entryIds);
    for (const id of lost) assert.equal(found.get(id)?.length, 1, id);
    assert.deepEqual(new Set([...found.values()].map(({ length }) => length)), new Set([1]));
    assert.deepEqual(await rig.query("SELECT stream, routes::int FROM notification.repairs ORDER BY stream"), [
      { stream: "gateway:client-events", routes: 4 },
      { stream: "mail:delivery_commands", routes: 4 },
    ]);
    assert.deepEqual(reportedLosses(service), ["gateway:client-events", "mail:delivery_commands"]);
    await eventually(() => availableAgain(service) === outages(service).length, { message: () => service.output() });
    // If intake goes on before a publisher notices the new server, Redis is out once more, for the publishers.
    const isUncheckedServer = ({ reason }: { reason: string }) => reason.startsWith("EPOCH ");
    const others = outages(service).filter((outage) => !isUncheckedServer(outage));
    assert.deepEqual(others.map(({ dependency }) => dependency).sort(), ["postgres", "redis"]);
    assert.ok(outages(service).length - others.length <= 1, service.output());
    assert.equal((await service.terminate()).code, 0);
  });
}

Deno.test("the only instance is killed during a repair: the next one finishes it, and each lost route comes again once", async () => {
  await using redisServer = await startRedis({ appendOnly: true });
  await using rig = await openRig({
    redisServer,
    otherUsers: (id) => ({ email: `${id}@example.com`, preferred_language: "en" }),
    env: { NOTIFICATION_LOG_LEVEL: "warn" },
  });
  const recipients = JSON.stringify(Array.from({ length: 100 }, (_, at) => `reader-${at}`));
  const add = async (intents: number, routes: number) => {
    for (let added = 0; added < intents; added++) await rig.addIntent({ recipient_user_ids_json: recipients });
    await untilPublished(rig, routes);
  };
  const first = await rig.start();
  await add(10, 2_000);
  const loseTail = await keepAppendOnlyFile(redisServer);
  const kept = await entries(rig);
  await add(100, 22_000);
  const lost = [...(await entries(rig)).keys()].filter((id) => !kept.has(id));
  assert.equal(lost.length, 20_000);

  // A lost route in the third batch of the first repair.
  const lock = `SELECT FROM notification.routes WHERE (notification_id, route_id) = (
    SELECT notification_id, route_id FROM notification.routes WHERE channel = 'push'
    ORDER BY notification_id DESC, route_id DESC OFFSET 6000 LIMIT 1) FOR UPDATE`;
  await atLock(rig, { lock, openRepairs: 2, loseTail }, () => first.kill());
  const open = await rig.query<{ routes: number }>(
    "SELECT routes::int FROM notification.repairs WHERE finished_at IS NULL ORDER BY stream",
  );
  assert.ok(open.length === 2 && open[0]!.routes >= 2_500 && open[0]!.routes < 10_000, JSON.stringify(open));

  const next = await rig.start();
  await untilRepaired(rig, next);
  await rig.settled();
  const found = await entries(rig);
  for (const [id, entryIds] of kept) assert.deepEqual(found.get(id), entryIds);
  for (const id of lost) assert.equal(found.get(id)?.length, 1, id);
  assert.equal(found.size, 22_000);
  assert.deepEqual(await rig.query("SELECT stream, routes::int FROM notification.repairs ORDER BY stream"), [
    { stream: "gateway:client-events", routes: 10_000 },
    { stream: "mail:delivery_commands", routes: 10_000 },
  ]);
  assert.equal((await next.terminate()).code, 0);
});

/** Loses the tail while rows are locked, and calls `then` when a statement of the repair loop waits for them. */
async function atLock(
  rig: Rig,
  { lock, openRepairs, loseTail }: { lock: string; openRepairs: number; loseTail: () => Promise<void> },
  then: () => Promise<unknown>,
): Promise<void> {
  const client: pg.PoolClient = await rig.pool.connect();
  client.on("error", () => {}); // a test stops the server
  try {
    await client.query("BEGIN");
    await client.query(lock);
    await loseTail();
    await eventually(async () => {
      const [found] = await rig.query<{ waiting: number; open: number }>(
        `SELECT (SELECT count(*)::int FROM pg_stat_activity
            WHERE wait_event_type = 'Lock' AND datname = current_database()) AS waiting,
          (SELECT count(*)::int FROM notification.repairs WHERE finished_at IS NULL) AS open`,
      );
      return found!.waiting > 0 && found!.open === openRepairs;
    }, { timeoutMs: 30_000 });
    await then();
  } finally {
    client.release(true);
  }
}

/** Waits until the repairs of both outbound streams are finished. */
const untilRepaired = (rig: Rig, service: ServiceProcess) =>
  eventually(async () => {
    const repairs = await rig.query<{ finished: boolean }>(
      "SELECT finished_at IS NOT NULL AS finished FROM notification.repairs",
    );
    return repairs.length === 2 && repairs.every(({ finished }) => finished);
  }, { timeoutMs: 30_000, message: () => service.output() });

/** The ids of the entries of each route, by the route's `event_id` or `delivery_id`. */
async function entries(rig: Rig): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for (const { entryId, fields } of [...await rig.clientEvents(), ...await rig.mailCommands()]) {
    const id = (fields["event_id"] ?? fields["delivery_id"])!;
    found.set(id, [...found.get(id) ?? [], entryId]);
  }
  return found;
}

/** The outages that were logged, one for each line. */
const outages = (service: ServiceProcess) =>
  service.logs.filter(({ message }) => message === "dependency is unavailable")
    .map(({ dependency, reason }) => ({ dependency: String(dependency), reason: String(reason) }));

const availableAgain = (service: ServiceProcess) =>
  service.logs.filter(({ message }) => message === "dependency is available again").length;

/** The outbound streams whose loss was logged, one for each line. */
const reportedLosses = (service: ServiceProcess) =>
  service.logs.filter(({ message }) => message.startsWith("Redis lost the last entries of an outbound stream"))
    .map(({ stream }) => String(stream)).sort();
