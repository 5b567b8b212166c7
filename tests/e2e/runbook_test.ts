/**
 * docs/runbook.md: every command on the page is run, in the page's order, on a service to which each of its incidents
 * has happened; the output must contain what the page promises.
 */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { type RedisServer, startRedis } from "../../scripts/servers/redis.ts";
import { isRestricted, OBSERVER } from "../../scripts/servers/restricted.ts";
import { refuse } from "../../scripts/servers/user_service.ts";
import { keepPostgres, keepRedis } from "../support/losses.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

interface Block {
  readonly heading: string;
  readonly commands: string;
  /** The promised part of its output: a text, or a pattern between slashes. */
  readonly shows: string | undefined;
}

const ADMIN_INTENT = {
  notification_type: "game.generation_failed",
  audience_kind: "admin_email",
  recipient_user_ids_json: undefined,
  payload_json: '{"game_id":"g","game_name":"n","failure_reason":"r"}',
};

const PAYLOAD = '{"game_id":"g 1",\r\n\t"game_name":"It\'s \\"N\\" \\u00e9 ☃ $HOME `x` \\\\n",\n"turn_number":7}';
/** Larger than one argument of a command may be. */
const LARGE_PAYLOAD = `{"game_id":"g","game_name":"${"n".repeat(200_000)}","turn_number":7}`;

Deno.test("every command of the runbook works, and shows what the page promises", async (test) => {
  await using redisServer = await startRedis();
  await using rig = await openRig({ redisServer, env: { NOTIFICATION_PUSH_RETRY_MAX_ATTEMPTS: "1" } });
  const shims = await Deno.makeTempDir({ prefix: "notification-runbook-" });
  try {
    await withLosses(rig, redisServer);
    let service = await withIncidents(rig);
    await rig.redis.del("gateway:client-events"); // the cause of the dead letters is mended
    await rig.redis.xadd("gateway:client-events", "*", "here", "again");
    const [prelude, ...blocks] = blocksOf(await Deno.readTextFile("docs/runbook.md"));
    assert.ok(blocks.length > 20);
    for (const { heading, commands, shows } of blocks) {
      const step = async () => {
        await writeShims(shims, rig, service);
        await writeConfiguration(shims, service.env);
        const output = await run(`${prelude!.commands}\n${commands}`, {
          etc: shims,
          PATH: `${shims}:${pathOfClients()}`,
          ...(isRestricted() ? { REDIS_ADMIN_USER: OBSERVER } : {}),
        }, shims);
        const pattern = /^\/(.*)\/(m?)$/.exec(shows ?? "");
        const isShown = pattern === null
          ? output.includes(shows ?? "")
          : new RegExp(pattern[1]!, pattern[2]).test(output);
        assert.ok(isShown, `The page says that it shows ${shows}; it printed:\n${output}`);
        if (!commands.includes("systemctl")) return;
        assert.equal((await service.ended).code, 0);
        service = await rig.start();
      };
      await test.step({
        name: `${heading}: ${firstLine(commands)}`,
        fn: step,
        sanitizeOps: false,
        sanitizeResources: false,
      });
    }
    await test.step("the intent that was published again has reached everybody, the dead letter is as it was", async () => {
      await rig.query("UPDATE notification.routes SET next_attempt_at = now() WHERE status = 'failed'");
      await rig.settled();
      const records = await rig.query<{ key: string; payload: string; statuses: string }>(
        `SELECT idempotency_key AS key, payload::text, string_agg(status, ' ' ORDER BY route_id) AS statuses
         FROM notification.records JOIN notification.routes USING (notification_id)
         WHERE idempotency_key ~ '^(dead-letter|reissue-)' GROUP BY notification_id ORDER BY accepted_at, stream_entry_id`,
      );
      assert.deepEqual(
        records.map(({ key, payload, statuses }) => [key.replace(/^reissue-.*/, "reissue-…"), payload, statuses]),
        [
          ["dead-letter", PAYLOAD, "published dead_letter"],
          ["dead-letter-large", LARGE_PAYLOAD, "published dead_letter"],
          ["reissue-…", PAYLOAD, "published published"],
          ["reissue-…", LARGE_PAYLOAD, "published published"],
        ],
      );
    });
  } finally {
    await Deno.remove(shims, { recursive: true });
  }
});

Deno.test("a loss that was only reported is listed by the runbook's query, and published when its repair is opened again", async () => {
  await using redisServer = await startRedis();
  await using rig = await openRig({ redisServer });
  const reporting = { NOTIFICATION_LOST_PUBLICATIONS: "report" };
  const first = await rig.start(reporting);
  await rig.addIntent();
  await rig.settled();
  const failOver = await keepRedis(rig, redisServer);
  for (let intents = 0; intents < 2; intents++) await rig.addIntent();
  await rig.settled();
  const published = async () =>
    (await Promise.all([rig.clientEvents(), rig.mailCommands()])).flat()
      .map(({ fields }) => fields["event_id"] ?? fields["delivery_id"]).sort();
  const before = await published();
  assert.equal((await first.terminate()).code, 0);
  await failOver();
  const second = await rig.start(reporting);
  const repaired = () => second.logs.filter(({ message }) => message === "a repair is finished").length;
  await eventually(() => repaired() === 2, { message: () => second.output() });
  assert.equal((await published()).length, 2);

  const shims = await Deno.makeTempDir({ prefix: "notification-runbook-" });
  try {
    await writeConfiguration(shims, second.env);
    const [prelude, ...blocks] = blocksOf(await Deno.readTextFile("docs/runbook.md"));
    const runOne = async (mark: string) => {
      const { commands } = blocks.find(({ commands }) => commands.includes(mark))!;
      return await run(`${prelude!.commands}\n${commands}`, { etc: shims, PATH: pathOfClients() }, shims);
    };
    assert.match(await runOne("repair.lost_up_to"), /\n\(4 rows\)\n/);
    assert.equal((await second.terminate()).code, 0);
    const third = await rig.start();
    await runOne("is opened again");
    await eventually(async () => (await published()).length === 6, {
      message: () => third.output(),
      timeoutMs: 30_000,
    });
    assert.deepEqual(await published(), before);
    assert.match(await runOne("repair.lost_up_to"), /\n\(0 rows\)\n/);
    assert.equal((await third.terminate()).code, 0);
  } finally {
    await Deno.remove(shims, { recursive: true });
  }
});

Deno.test("log lines that the runbook explains are the code's, word for word", async () => {
  const page = await Deno.readTextFile("docs/runbook.md");
  const lines = [...page.matchAll(/^- `([^`]* [^`]*)`/gm)].map(([, line]) => line!);
  assert.ok(lines.length > 5);
  const source = await textOf("src");
  // Some are composed of two parts in the code.
  const unknown = lines.filter((line) => line.split(": ").some((half) => !source.includes(half)));
  assert.deepEqual(unknown, []);
});

async function textOf(folder: string): Promise<string> {
  let text = "";
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) text += await textOf(`${folder}/${name}`);
    else if (name.endsWith(".ts")) text += await Deno.readTextFile(`${folder}/${name}`);
  }
  return text;
}

/** Redis comes back without its newest writes, then PostgreSQL. */
async function withLosses(rig: Rig, redisServer: RedisServer): Promise<void> {
  const first = await rig.start();
  await rig.addIntent();
  await rig.settled();
  const failOver = await keepRedis(rig, redisServer);
  await rig.addIntent();
  await rig.settled();
  assert.equal((await first.terminate()).code, 0);
  await failOver();

  const second = await rig.start();
  const repaired = () => second.logs.filter(({ message }) => message === "a repair is finished").length;
  await eventually(() => repaired() === 2, { message: () => second.output() });
  await second.waitForLog(({ message }) =>
    String(message).startsWith("Redis lost the last entries of the intent stream")
  );
  await rig.addIntent();
  await rig.settled();
  const restore = await keepPostgres(rig);
  await rig.addIntent();
  await rig.settled();
  assert.equal((await second.terminate()).code, 0);
  await restore();
}

/** A service to which every other incident of the page has happened. */
async function withIncidents(rig: Rig): Promise<ServiceProcess> {
  const first = await rig.start();
  await rig.addIntent();
  await rig.settled();
  await first.terminate();
  await rig.addIntent();
  await rig.redis.xtrim("notification:intents", "MAXLEN", 0);
  const service = await rig.start();
  await rig.addIntent(ADMIN_INTENT);
  await rig.addIntent({ payload_json: "{}" });
  await rig.settled();
  await rig.users.stop();
  await rig.addIntent();
  await service.waitForLog(({ message }) => message === "dependency is unavailable");
  rig.users.start();
  await rig.settled();
  await service.waitForLog(({ message }) => message === "dependency is available again");
  await rig.redis.del("gateway:client-events");
  await rig.redis.set("gateway:client-events", "in the way");
  await rig.addIntent({ idempotency_key: "dead-letter", payload_json: PAYLOAD });
  await rig.settled();
  await rig.addIntent({ idempotency_key: "dead-letter-large", payload_json: LARGE_PAYLOAD });
  await rig.settled();
  // A user about whom the User Service does not answer: the page's own command passes the intent.
  rig.users.behaviour = (id) => id === "stuck" ? refuse(503, "overloaded") : undefined;
  const outages = () => service.logs.filter(({ message }) => message === "dependency is unavailable").length;
  const before = outages();
  await rig.addIntent({ recipient_user_ids_json: '["stuck"]' });
  await eventually(() => outages() > before);
  // A route that waits for its next attempt.
  await rig.query(
    `UPDATE notification.routes SET next_attempt_at = now() + interval '1 hour', status = 'failed'
     WHERE channel = 'push' AND status = 'published'`,
  );
  return service;
}

/** The page's `sh` blocks, each with its heading and the promise in the comment before it. */
function blocksOf(page: string): Block[] {
  let heading = "";
  const blocks: Block[] = [];
  for (const match of page.matchAll(/^## (.*)$|(?:<!-- shows: (.*) -->\n)?```sh\n([\s\S]*?)```/gm)) {
    if (match[1] !== undefined) heading = match[1];
    else blocks.push({ heading, commands: match[3]!, shows: match[2] });
  }
  return blocks;
}

/** Stand-ins for parts of an installation that a test lacks: the executable's name, and systemd's commands. */
async function writeShims(folder: string, rig: Rig, service: ServiceProcess): Promise<void> {
  await Deno.writeTextFile(`${folder}/log`, rig.instances.map(({ stdout }) => `${stdout}\n`).join(""));
  const binary = Deno.env.get("NOTIFICATION_SERVICE_BIN");
  const executable = binary === undefined || binary === ""
    ? `${Deno.execPath()} run -A ${Deno.cwd()}/main.ts`
    : resolve(binary);
  const scripts = {
    "notification-service": `exec ${executable} "$@"`,
    journalctl: `cat ${folder}/log`,
    systemctl:
      `[ "$*" = "restart notification-service" ] && kill -TERM ${service.pid}; while kill -0 ${service.pid}; do sleep 0.1; done 2>/dev/null`,
  };
  for (const [name, script] of Object.entries(scripts)) {
    await Deno.writeTextFile(`${folder}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
}

/** The files of an installation below /etc. */
async function writeConfiguration(folder: string, env: Readonly<Record<string, string>>): Promise<void> {
  const files = {
    NOTIFICATION_REDIS_PASSWORD: "redis_password",
    NOTIFICATION_POSTGRES_PRIMARY_DSN: "postgres_primary_dsn",
  };
  const lines: string[] = [];
  for (const [name, value] of Object.entries(env)) {
    const file = Object.entries(files).find(([variable]) => variable === name)?.[1];
    if (file === undefined) lines.push(`${name}='${value}'\n`);
    else await Deno.writeTextFile(`${folder}/${file}`, `${value}\n`);
  }
  await Deno.writeTextFile(`${folder}/environment`, lines.join(""));
}

/** With Debian's folder for PostgreSQL's programs. */
function pathOfClients(): string {
  return `${Deno.env.get("PATH")}:/usr/lib/postgresql/15/bin:/usr/lib/postgresql/17/bin`;
}

async function run(script: string, env: Readonly<Record<string, string>>, cwd: string): Promise<string> {
  const home = { HOME: Deno.env.get("HOME") ?? "/", DENO_TLS_CA_STORE: "mozilla,system" };
  const { success, stdout, stderr } = await new Deno.Command("bash", {
    args: ["-euo", "pipefail", "-c", script],
    env: { ...home, ...env },
    clearEnv: true,
    cwd,
  }).output();
  const [output, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.ok(success, `${script}\n${output}${errors}`);
  return output!;
}

function firstLine(commands: string): string {
  return commands.trim().split("\n")[0]!.slice(0, 70);
}
