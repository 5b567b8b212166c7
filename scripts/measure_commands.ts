/**
 * In: nothing, or numbers of malformed intents and of dead letters to measure with (default: 100,000 and 1,000,000). Out: how long the
 * operators' commands take on throwaway servers, a line each, as processes and with what they read alone.
 * Guaranteed: every time is the median and the worst of 5 runs; nothing is left behind.
 */
import { runProgram } from "../tests/support/command.ts";
import { openRig, type Rig } from "../tests/support/rig.ts";

const RUNS = 5;

const COMMANDS: readonly (readonly string[])[] = [
  ["version"],
  ["status", "--json"],
  ["inspect", "malformed"],
  ["inspect", "malformed", "--since", "1h"],
  ["inspect", "malformed", "--producer", "nobody"],
  ["inspect", "malformed", "--near", "1700000500000-0"],
  ["inspect", "malformed", "--limit", "10000", "--json"],
  ["inspect", "dead-letters"],
  ["inspect", "dead-letters", "--type", "no.such.type"],
  ["inspect", "routes", "--classification", "recipient_email_missing"],
  ["inspect", "intent", "game-master/no-such-key"],
  ["inspect", "intent", "game-master/key-77"],
];

if (import.meta.main) {
  const sizes = Deno.args.length > 0 ? Deno.args.map(Number) : [100_000, 1_000_000];
  for (const size of sizes) await measure(size);
  Deno.exit(0); // the servers end with this process
}

async function measure(size: number): Promise<void> {
  await using rig = await openRig();
  await (await rig.start()).terminate();
  await fill(rig, size);
  console.log(`${size.toLocaleString("en")} malformed intents, dead letters, records; twice as many routes`);
  for (const args of COMMANDS) {
    const times: number[] = [];
    let said = "";
    for (let run = 0; run < RUNS; run++) {
      const begun = performance.now();
      const { code, stderr } = await runProgram(rig.env, args);
      times.push(performance.now() - begun);
      said = code === 0 ? stderr : `exit code ${code}: ${stderr}`;
    }
    times.sort((left, right) => left - right);
    const shown = (ms: number) => `${Math.round(ms)} ms`;
    console.log(`  ${args.join(" ")}: ${shown(times[RUNS >> 1]!)}, at worst ${shown(times.at(-1)!)} ${said}`);
  }
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
