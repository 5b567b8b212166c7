/**
 * Nothing, or sizes: numbers of malformed intents, dead letters and records (default: 100,000 and 1,000,000) → the run
 * time and peak memory of the operators' commands with temporary servers, one line for each command; then the same for
 * 2,000 malformed intents of 300 kB and 2,000 records of 200 kB with dead letters.
 *
 * Times are the median and the maximum of 3 runs (of one run for the large ones), and include the start of the process.
 * The exit code is 1 if a command fails, takes more than 1 s (unless it has to read everything), or takes more memory
 * than allowed. Nothing is left behind.
 */
import { memoryOf } from "./process_memory.ts";
import { openRig, type Rig } from "../tests/support/rig.ts";
import { startService } from "../tests/support/service_process.ts";

const RUNS = 3;
const MAX_MS = 1_000;
const MAX_MB = 250;
/** A command holds some of these entries at a time. */
const MAX_MB_FOR_LARGE_ROWS = 400;
const LARGE = { count: 2_000, malformedChars: 300_000, payloadChars: 200_000 };

const COMMANDS: readonly (readonly string[])[] = [
  ["version"],
  ["status", "--json"],
  ["inspect", "malformed"],
  ["inspect", "malformed", "--since", "1h"],
  ["inspect", "malformed", "--producer", "nobody"],
  ["inspect", "malformed", "--near", "1700000500000-0"],
  ["inspect", "malformed", "--classification", "invalid_payload"],
  ["inspect", "malformed", "--limit", "1000", "--json"],
  ["inspect", "dead-letters"],
  ["inspect", "dead-letters", "--type", "no.such.type"],
  ["inspect", "routes", "--classification", "recipient_email_missing"],
  ["inspect", "intent", "game-master/no-such-key"],
  ["inspect", "intent", "game-master/key-77"],
  ["inspect", "intent", "game-master/record-77"],
  ["inspect", "intent", "1600000000000-0"],
  ["reissue", "dead-letters", "--since", "1s"],
  ["reissue", "dead-letters", "--type", "no.such.type"],
  ["reissue", "dead-letters", "--classification", "payload_encoding_failed"],
  ["reissue", "malformed", "--since", "1s"],
  ["reissue", "malformed", "--type", "no.such.type"],
  ["reissue", "malformed", "--classification", "invalid_payload"],
];

const COMMANDS_FOR_LARGE_ROWS: readonly (readonly string[])[] = [
  ["inspect", "malformed", "--limit", "2000"],
  ["inspect", "malformed", "--limit", "2000", "--json"],
  ["reissue", "malformed"],
  ["reissue", "dead-letters"],
];

if (import.meta.main) {
  const sizes = Deno.args.length > 0 ? Deno.args.map(Number) : [100_000, 1_000_000];
  const exceeded: string[] = [];
  for (const size of sizes) exceeded.push(...await measure(size));
  exceeded.push(...await measureLargeRows());
  for (const line of exceeded) console.log(`✗ ${line}`);
  Deno.exit(exceeded.length === 0 ? 0 : 1); // the guards end the servers
}

/** Returns a line for each command that exceeds its limits. */
async function measure(size: number): Promise<string[]> {
  await using rig = await openRig();
  await (await rig.start()).terminate();
  await fill(rig, size);
  console.log(`${size.toLocaleString("en")} malformed intents, dead letters, records; twice as many routes`);
  return await measureAll(rig, COMMANDS, { runs: RUNS, maxMs: MAX_MS, maxMb: MAX_MB });
}

async function measureLargeRows(): Promise<string[]> {
  await using rig = await openRig();
  await (await rig.start()).terminate();
  await fill(rig, LARGE.count);
  await rig.query(
    `UPDATE notification.records SET payload = ('{"game_id":"g","game_name":"' || repeat('n', $1::int) || '","turn_number":1}')::json`,
    [LARGE.payloadChars],
  );
  await rig.query("DELETE FROM notification.malformed_intents");
  await rig.query(
    `INSERT INTO notification.malformed_intents
     SELECT now() - n * interval '1 second', 'notification:intents', (1700000000000 + n) || '-0', 'game.turn.ready', 'game-master',
       'key-' || n, 'invalid_payload', 'it is too large',
       jsonb_build_array(jsonb_build_array('notification_type', 'game.turn.ready'), jsonb_build_array('payload_json', repeat('x', $2::int)))
     FROM generate_series(1, $1::int) AS n`,
    [LARGE.count, LARGE.malformedChars],
  );
  const [count, malformed, payload] = [LARGE.count, LARGE.malformedChars, LARGE.payloadChars].map((number) =>
    number.toLocaleString("en")
  );
  console.log(`${count} malformed intents of ${malformed} characters; dead letters of ${count} payloads of ${payload}`);
  return await measureAll(rig, COMMANDS_FOR_LARGE_ROWS, { runs: 1, maxMs: Infinity, maxMb: MAX_MB_FOR_LARGE_ROWS });
}

async function measureAll(
  rig: Rig,
  commands: readonly (readonly string[])[],
  { runs, maxMs, maxMb }: { readonly runs: number; readonly maxMs: number; readonly maxMb: number },
): Promise<string[]> {
  const exceeded: string[] = [];
  for (const args of commands) {
    const times: number[] = [];
    let peakMb = 0;
    let said = "";
    let failed = false;
    for (let run = 0; run < runs; run++) {
      const ran = await runOnce(rig, args);
      times.push(ran.ms);
      peakMb = Math.max(peakMb, ran.peakMb);
      // 1 says that nothing was found, or that intents were left out.
      failed ||= ran.code !== 0 && ran.code !== 1;
      said = ran.code === 0 ? ran.stderr : `exit code ${ran.code}: ${ran.stderr}`;
    }
    times.sort((left, right) => left - right);
    const median = times[runs >> 1]!;
    const shown = (ms: number) => `${Math.round(ms)} ms`;
    const words = said.trim().replaceAll("\n", "; ");
    const line = `${args.join(" ")}: ${shown(median)}, at worst ${shown(times.at(-1)!)}, ${
      Math.round(peakMb)
    } MB ${words}`;
    console.log(`  ${line}`);
    // A reissue whose filters match nothing reads everything.
    const isSlow = args[0] !== "reissue" && median > maxMs;
    if (failed || isSlow || peakMb > maxMb) exceeded.push(line);
  }
  return exceeded;
}

/** The peak is the kernel's figure, which is read every 10 ms until the process ends. */
async function runOnce({ env }: Rig, args: readonly string[]) {
  const begun = performance.now();
  await using command = await startService(env, { args, keep: { maxLines: 0, isKept: () => false } });
  const ended = command.ended.then(({ code }) => code);
  let peakMb = 0;
  let code: number | undefined;
  while (code === undefined) {
    // 0 if the process has ended.
    peakMb = Math.max(peakMb, await memoryOf(command.pid).then((memory) => memory.peakMb || 0, () => 0));
    code = await Promise.race([ended, new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 10))]);
  }
  return { code, ms: performance.now() - begun, peakMb, stderr: command.stderr };
}

async function fill(rig: Rig, size: number): Promise<void> {
  const portion = 100_000;
  for (let from = 0; from < size; from += portion) {
    const among = [from, Math.min(size, from + portion) - 1];
    await rig.query(
      `INSERT INTO notification.malformed_intents
       SELECT now() - ($2::int - n) * interval '1 millisecond', 'notification:intents', (1700000000000 + n) || '-0',
         'game.turn.ready', 'game-master', 'key-' || n, 'recipient_not_found', 'no user "user-' || n || '" exists',
         jsonb_build_array(jsonb_build_array('notification_type', 'game.turn.ready'), jsonb_build_array('producer', 'game-master'),
           jsonb_build_array('idempotency_key', 'key-' || n), jsonb_build_array('payload_json', repeat('{"game_id":"g"}', 15)))
       FROM generate_series($1::int, $2::int) AS n`,
      among,
    );
    await rig.query(
      `WITH made AS (
         INSERT INTO notification.records (notification_id, occurred_at, notification_type, producer, audience_kind, idempotency_key,
           request_fingerprint, stream, stream_entry_id, recipient_user_ids, payload)
         SELECT (lpad(to_hex(1700000000000 + n), 12, '0') || '700080000000' || lpad(to_hex(n), 8, '0'))::uuid, now(),
           'game.turn.ready', 'game-master', 'user', 'record-' || n, '\\x00', 'notification:intents', (1700000000000 + n) || '-1',
           '["u"]', '{"game_id":"g","game_name":"n","turn_number":1}'
         FROM generate_series($1::int, $2::int) AS n RETURNING notification_id
       ), routed AS (
         INSERT INTO notification.routes (notification_id, route_id, channel, status, max_attempts, attempt_count, recipient)
         SELECT notification_id, channel || ':user:u', channel, CASE channel WHEN 'push' THEN 'dead_letter' ELSE 'published' END, 3, 3,
           'user:u'
         FROM made, unnest(ARRAY['push', 'email']) AS channel
       )
       INSERT INTO notification.dead_letters (notification_id, route_id, channel, recipient, attempt_count, max_attempts,
         failure_classification, failure_message)
       SELECT notification_id, 'push:user:u', 'push', 'user:u', 3, 3, 'gateway_stream_publish_failed', 'WRONGTYPE Operation' FROM made`,
      among,
    );
  }
  await rig.query("ANALYZE");
}
