/** The command line: help of every command, suggestions, the two outputs, and the commands that need no servers. */
import assert from "node:assert/strict";
import denoJson from "../../deno.json" with { type: "json" };
import { embeddedCatalog } from "../../src/notification/catalog.ts";
import { assertReadable, runProgram } from "../support/command.ts";
import { freshKeySpace } from "../support/environment.ts";
import { closeRedis, openRedis } from "../support/redis_client.ts";

const COMMANDS = [
  "run",
  "check",
  "migrate",
  "status",
  "inspect",
  "set-aside",
  "reissue",
  "smoke",
  "catalog",
  "encode-intent",
  "healthcheck",
  "version",
];
const INTENT = {
  notification_type: "game.turn.ready",
  producer: "game-master",
  audience_kind: "user",
  recipient_user_ids: ["u1", "u'2"],
  idempotency_key: "turn 12",
  occurred_at_ms: 1767225600000,
};
const PAYLOAD = '{"game_id":"g","game_name":"It\'s \\u2603","turn_number":12345678901234567890,"share":1.10}';

const encode = async (json: string, args: string[] = [], env: Record<string, string> = {}) =>
  await runProgram(env, ["encode-intent", ...args], { stdin: json });

Deno.test("--help lists every command, and each has a help of its own that fits a terminal", async () => {
  const { code, stdout, stderr } = await runProgram({}, ["--help"]);
  assert.equal(code, 0);
  assert.equal(stderr, "");
  assertReadable(stdout);
  for (const command of COMMANDS) assert.match(stdout, new RegExp(`^  ${command} `, "m"));
  for (const command of COMMANDS) {
    const help = await runProgram({}, [command, "--help"]);
    assert.equal(help.code, 0, help.stderr);
    assert.match(help.stdout, new RegExp(`^Usage: notification-service \\[?${command}`));
    assertReadable(help.stdout);
    assert.equal((await runProgram({}, ["help", command])).stdout, help.stdout);
  }
});

Deno.test("a mistyped command gets a suggestion on standard error, and exit code 64", async () => {
  const cases = [
    [["statsu"], 'unknown command "statsu"; did you mean status?'],
    [["constructor"], 'unknown command "constructor"'],
    [["\x9b31m\u202e"], 'unknown command "\\u009b31m\\u202e"'],
    [["status", "--\x9b31m"], "unknown option --\\u009b31m"],
    [["status", "--wach"], "unknown option --wach; did you mean --watch?"],
    [["--jsn"], "unknown option --jsn"],
    [["inspect", "dead-leters"], 'unknown subject "dead-leters"; did you mean dead-letters?'],
    [["migrate"], "action is missing: one of status, up, down"],
    [["version", "now"], 'unexpected argument "now"'],
    [["status", "--watch", "--json"], "--json prints one object"],
    [["inspect", "routes", "--since", "yesterday"], '--since "yesterday" is neither'],
    ...["5", "12", "90", "2026-01-31", "2026-01-31T12:00:00"].map((since) =>
      [["inspect", "routes", "--since", since], `--since "${since}" is neither`] as const
    ),
    [["inspect", "malformed", "--near", "7"], '--near "7" is not an entry id'],
    [["inspect", "routes", "--classification", "push_failed"], "did you mean"],
    [["smoke"], "--user-id is missing"],
    [["migrate", "down"], "confirm it with --yes"],
  ] as const;
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await runProgram({}, args);
    assert.equal(code, 64, args.join(" "));
    assert.equal(stdout, "");
    assert.ok(stderr.includes(message), `${args.join(" ")}: ${stderr}`);
  }
});

Deno.test("version shows version, commit and runtime", async () => {
  const { code, stdout } = await runProgram({}, ["version"]);
  assert.equal(code, 0);
  assert.match(stdout, new RegExp(`^notification-service ${denoJson.version.replaceAll(".", "\\.")}\n  commit `));
  const facts = JSON.parse((await runProgram({}, ["version", "--json"])).stdout);
  assert.deepEqual(Object.keys(facts), ["version", "commit", "deno", "target"]);
  // The executable contains the commit from which it was made.
  const isExecutable = Boolean(Deno.env.get("NOTIFICATION_SERVICE_BIN"));
  assert.equal(typeof facts.commit, isExecutable ? "string" : "object");
  assert.equal((await runProgram({}, ["--version"])).stdout, stdout);
});

Deno.test("a command reports every problem of the configuration and ends with 78", async () => {
  const { code, stdout, stderr } = await runProgram({ NOTIFICATION_REDIS_DB: "x" }, ["status"]);
  assert.equal(code, 78);
  assert.equal(stdout, "");
  for (const name of ["REDIS_DB", "REDIS_MASTER_ADDR", "POSTGRES_PRIMARY_DSN", "USER_SERVICE_BASE_URL"]) {
    assert.ok(stderr.includes(`NOTIFICATION_${name} `), name);
  }
});

Deno.test("catalog show lists every type; its JSON is a catalog that validate accepts", async () => {
  const { code, stdout } = await runProgram({}, ["catalog", "show"]);
  assert.equal(code, 0);
  assertReadable(stdout);
  for (const type of embeddedCatalog().keys()) assert.ok(stdout.includes(type));

  const file = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(file, (await runProgram({}, ["catalog", "show", "--json"])).stdout);
    const valid = await runProgram({}, ["catalog", "validate", file, "--json"]);
    assert.deepEqual(JSON.parse(valid.stdout), { valid: true, types: [...embeddedCatalog().keys()], problems: [] });
    const shown = await runProgram({ NOTIFICATION_CATALOG_FILE: file }, ["catalog", "show"]);
    assert.equal(shown.stdout, stdout);

    await Deno.writeTextFile(file, '{"types": {"a": {"producers": [], "audiences": {}, "payload": {}}}}');
    const broken = await runProgram({}, ["catalog", "validate", file]);
    assert.equal(broken.code, 65);
    assert.match(broken.stdout, /^ {2}\/types\/a\/producers: /m);
    assert.match(broken.stdout, /^ {2}\/types\/a\/audiences: must have at least 1 member$/m);
    assert.equal((await runProgram({ NOTIFICATION_CATALOG_FILE: file }, ["catalog", "show"])).code, 78);

    // A file that `run` can't read is no catalog for validate either.
    const shownAsFile = await runProgram({}, ["catalog", "show", "--json"]);
    const notUtf8 = new TextEncoder().encode(shownAsFile.stdout.replace("A turn of a game", "A turn of a g@me"))
      .map((byte) => byte === 0x40 ? 0xff : byte);
    await Deno.writeFile(file, notUtf8);
    const lossy = await runProgram({}, ["catalog", "validate", file]);
    assert.equal(lossy.code, 65, lossy.stdout);
    assert.match(lossy.stderr, /is not UTF-8 text/);
    await Deno.writeTextFile(file, shownAsFile.stdout + " ".repeat(16 * 1024 * 1024));
    assert.match((await runProgram({}, ["catalog", "validate", file])).stderr, /is larger than 16 MiB/);
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("encode-intent returns the arguments of XADD, with the payload digit for digit", async () => {
  const text = `${JSON.stringify(INTENT).slice(0, -1)},"payload":${PAYLOAD}}`;
  const { code, stdout, stderr } = await encode(text, ["--json", "--stream", "in"]);
  assert.equal(code, 0, stderr);
  assert.deepEqual(JSON.parse(stdout).arguments, [
    ...["XADD", "in", "*"],
    ...["notification_type", "game.turn.ready", "producer", "game-master", "audience_kind", "user"],
    ...["recipient_user_ids_json", '["u1","u\'2"]', "idempotency_key", "turn 12"],
    ...["occurred_at_ms", "1767225600000", "payload_json", PAYLOAD.replace("\\u2603", "☃")],
  ]);
  const named = await encode(text, ["--json"], { NOTIFICATION_INTENTS_STREAM: "named" });
  assert.deepEqual(JSON.parse(named.stdout).arguments.slice(0, 2), ["XADD", "named"]);
});

Deno.test("encode-intent prints a line that redis-cli splits into the same arguments, whatever they contain", async () => {
  const { host, port, password, db } = await freshKeySpace();
  const redis = await openRedis({ host, port, password, db });
  try {
    const note = `${"long ".repeat(40_000)} 'single' "double" \\ $HOME \`id\` 100% ☃ \u0007\u009b\u202e\u{e0041}`;
    const intents = [note, "short"].map((game_name, index) => ({
      ...INTENT,
      idempotency_key: `line\nfeed\t${index}`,
      payload: { game_id: "g", game_name, turn_number: 1 },
    }));
    for (const intent of intents) {
      const { stdout: line, stderr } = await encode(JSON.stringify(intent));
      assert.doesNotMatch(line, /[\p{Cc}\p{Cf}]/u, stderr);
      const redisCli = new Deno.Command("redis-cli", {
        args: ["-h", host, "-p", String(port), "-n", String(db)],
        env: { REDISCLI_AUTH: password },
        stdin: "piped",
        stdout: "piped",
      }).spawn();
      await ReadableStream.from([new TextEncoder().encode(`${line}\n`)]).pipeTo(redisCli.stdin);
      const id = (await new Response(redisCli.stdout).text()).trim();
      await redisCli.status;
      const [[, fields] = ["", []]] = await redis.xrange("notification:intents", id, id);
      const wanted = JSON.parse((await encode(JSON.stringify(intent), ["--json"])).stdout).arguments;
      assert.deepEqual(fields, wanted.slice(3));
    }
    assert.equal(await redis.xlen("notification:intents"), 2);
  } finally {
    await closeRedis(redis);
  }
});

Deno.test("encode-intent refuses an intent that would be malformed, with 65 and the reason", async () => {
  const cases = [
    ["{", "not JSON"],
    ["[]", "not a JSON object"],
    ["5", "not a JSON object"],
    [JSON.stringify({ ...INTENT, payload: {} }), "invalid_payload"],
    [JSON.stringify({ ...INTENT, payload: {}, producer: "me" }), "producer_not_allowed"],
    [JSON.stringify({ ...INTENT, reciever: 1 }), 'unknown member "reciever"'],
    [JSON.stringify({ ...INTENT, payload: {}, payload_json: "{}" }), "payload_json is given twice"],
    [JSON.stringify({ ...INTENT, idempotency_key: undefined, payload: {} }), "idempotency_key is missing"],
  ] as const;
  for (const [json, message] of cases) {
    const { code, stdout, stderr } = await encode(json);
    assert.equal(code, 65, json);
    assert.equal(stdout, "");
    assert.ok(stderr.includes(message), stderr);
  }
  const latin1 = new TextEncoder().encode(JSON.stringify({ ...INTENT, payload: JSON.parse(PAYLOAD) }))
    .map((byte) => byte === 0x27 ? 0xe9 : byte);
  const { code, stderr } = await runProgram({}, ["encode-intent"], { stdin: latin1 });
  assert.equal(code, 65);
  assert.match(stderr, /not UTF-8 text/);
});
