/**
 * Outbound entries → the outbound stream, each at most once, whatever dies and however often the hand-off is repeated.
 *
 * One atomic script for a hundred routes. For each route it reads the route's lease: `published:<entry id>` means that
 * the entry is already in the stream, and the script answers with its id; otherwise the script appends the entry and
 * sets the lease. It appends nothing for a batch whose claim has ended or begins in the future, and nothing on a server
 * that was not checked for losses since it was started or promoted (`redis/epoch.ts`). `docs/contract.md`, sections 6
 * and 11.
 */
import { type RedisConnection, Script } from "../redis/connection.ts";
import { SERVER_EPOCH_LUA, UNCHECKED_EPOCH } from "../redis/epoch.ts";
import { RedisError, refusesAllWrites, replyCode } from "../redis/failures.ts";
import { redisEpochKey } from "../redis/keys.ts";
import type { Batch } from "../relay/batch.ts";

const MAX_ROUTES_A_CALL = 100;
const MAX_CHARS_A_CALL = 1024 * 1024;

/** Where the entry of a published route is. */
export interface Publication {
  readonly stream: string;
  readonly entryId: string;
  /** Of the server that answered. */
  readonly epoch: string;
}

/** The answer about one route's entry. */
export type HandOffAnswer =
  | { readonly kind: "published"; readonly publication: Publication }
  /** The route was not published before, and the delivery has no fields to append. */
  | { readonly kind: "absent" }
  /** The outbound stream refused this very entry. */
  | { readonly kind: "refused"; readonly message: string }
  /** The batch came too late for its claim: the route was not published before, and nothing was appended. */
  | { readonly kind: "late" }
  /** The answer is unknown: the route stays as it is. */
  | { readonly kind: "unanswered" };

export interface Delivery {
  readonly leaseKey: string;
  /** Names and values in turn; if empty, the script only answers whether the route was published before. */
  readonly fields: readonly string[];
}

export interface HandOffOptions {
  readonly stream: string;
  /** Approximate `MAXLEN`; 0 never trims. */
  readonly maxLength: number;
  readonly leaseTtlMs: number;
  /** Replicas that must acknowledge before an answer counts; 0 for none. */
  readonly waitReplicas: number;
  /** The longest wait for them, in milliseconds. */
  readonly waitMs: number;
  /** The claim on the routes. */
  readonly claim: Pick<Batch, "takenAtMs" | "lifeMs">;
  /** Allows a server that was not checked for losses: for the test at start-up, before the check. */
  readonly isEpochIgnored?: boolean;
}

export interface HandOffResult {
  /** In the order of the deliveries. */
  readonly answers: readonly HandOffAnswer[];
  /** Why some are unanswered, if they are: the channel then pauses. */
  readonly outage: RedisError | undefined;
}

// KEYS: the stream, the checked epoch. ARGV: the time of the claim, its life, the lease's TTL, MAXLEN, whether an
// existing lease is written again (so that a WAIT that follows covers it), whether the epoch is ignored, and the
// deliveries as JSON, which JavaScript writes and Lua reads several times as fast as two thousand arguments. The JSON
// contains the leases' keys: only a cluster needs them as KEYS. The answer is the epoch and, as JSON: "+id" published,
// "-" absent, "!error" refused by the stream, "?error" refused by the server, "~" late.
const HAND_OFF = new Script(`${SERVER_EPOCH_LUA}
local epoch = server_epoch()
if ARGV[6] ~= '1' and redis.pcall('GET', KEYS[2]) ~= epoch then
  return redis.error_reply('${UNCHECKED_EPOCH} this server was started or promoted, and is not yet checked for losses')
end
local time = redis.call('TIME')
local age = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[1])
local late = age < 0 or age >= tonumber(ARGV[2])
local ttl, maxlen, rewrite = ARGV[3], ARGV[4], ARGV[5] == '1'
local stream, answers = KEYS[1], {}
for i, delivery in ipairs(cjson.decode(ARGV[7])) do
  local key, fields = delivery.leaseKey, delivery.fields
  local lease = redis.pcall('GET', key)
  local answer
  if type(lease) == 'table' then
    answer = (string.sub(lease.err, 1, 9) == 'WRONGTYPE' and '!' or '?') .. lease.err
  elseif lease and string.sub(lease, 1, 10) == 'published:' then
    answer = '+' .. string.sub(lease, 11)
    local kept = rewrite and redis.pcall('PEXPIRE', key, ttl)
    if type(kept) == 'table' then answer = '?' .. kept.err end
  elseif #fields == 0 then
    answer = '-'
  elseif late then
    answer = '~'
  else
    local id
    if maxlen == '0' then id = redis.pcall('XADD', stream, '*', unpack(fields))
    else id = redis.pcall('XADD', stream, 'MAXLEN', '~', maxlen, '*', unpack(fields)) end
    if type(id) == 'table' then
      answer = '!' .. id.err
    else
      local set = redis.pcall('SET', key, 'published:' .. id, 'PX', ttl)
      answer = '+' .. id
      if set.err and redis.pcall('XDEL', stream, id) == 1 then answer = '?' .. set.err end
    end
  end
  answers[i] = answer
end
return { epoch, cjson.encode(answers) }
`);

/** Never rejects because of Redis: the answers that are unknown are `unanswered`. */
export async function handOff(
  redis: RedisConnection,
  deliveries: readonly Delivery[],
  options: HandOffOptions,
): Promise<HandOffResult> {
  if (deliveries.length === 0) return { answers: [], outage: undefined };
  const { stream } = options;
  const calls = callsOf(deliveries);
  // All calls are sent before the first is answered; the WAIT follows them on the same connection.
  const pending = calls.map((call) => settled(runCall(redis, call, options)));
  const waiting = options.waitReplicas > 0 ? settled(waitForReplicas(redis, options)) : undefined;
  const answers: HandOffAnswer[] = [];
  let outage: RedisError | undefined;
  for (const [index, reply] of (await Promise.all(pending)).entries()) {
    if (reply instanceof RedisError) outage ??= reply;
    const { epoch, answers: texts } = reply instanceof RedisError ? { epoch: "", answers: [] } : reply;
    for (let at = 0; at < calls[index]!.length; at++) {
      const refusal = serverRefusal(texts[at]);
      outage ??= refusal;
      answers.push(refusal === undefined ? answerOf(texts[at], { stream, epoch }) : { kind: "unanswered" });
    }
  }
  const replicas = await waiting;
  if (replicas !== undefined && replicas !== "enough") {
    return { answers: deliveries.map(() => ({ kind: "unanswered" })), outage: outage ?? replicas };
  }
  return { answers, outage };
}

function callsOf(deliveries: readonly Delivery[]): Delivery[][] {
  const calls: Delivery[][] = [];
  let chars = Infinity;
  for (const delivery of deliveries) {
    const size = delivery.fields.reduce((sum, field) => sum + field.length, 0);
    if (chars + size > MAX_CHARS_A_CALL || calls.at(-1)!.length === MAX_ROUTES_A_CALL) {
      calls.push([]);
      chars = 0;
    }
    calls.at(-1)!.push(delivery);
    chars += size;
  }
  return calls;
}

async function runCall(
  redis: RedisConnection,
  call: readonly Delivery[],
  { stream, maxLength, leaseTtlMs, claim, waitReplicas, isEpochIgnored = false }: HandOffOptions,
): Promise<{ readonly epoch: string; readonly answers: readonly string[] }> {
  const isWaited = waitReplicas > 0;
  const flags = [isWaited ? 1 : 0, isEpochIgnored ? 1 : 0];
  const keys = [stream, redisEpochKey()];
  const args = [claim.takenAtMs, claim.lifeMs, leaseTtlMs, maxLength, ...flags, JSON.stringify(call)];
  // If a WAIT follows, the script must not be repeated after it.
  const reply = await (isWaited ? redis.runAtOnce(HAND_OFF, keys, args) : redis.run(HAND_OFF, keys, args));
  const [epoch, answers] = reply as [string, string];
  return { epoch, answers: JSON.parse(answers) };
}

async function waitForReplicas(
  redis: RedisConnection,
  { waitReplicas, waitMs }: HandOffOptions,
): Promise<"enough"> {
  const acknowledged = await redis.call("WAIT", waitReplicas, waitMs) as number;
  if (acknowledged >= waitReplicas) return "enough";
  throw new RedisError(`${acknowledged} of ${waitReplicas} replicas acknowledged`, { code: "NOREPLICAS" });
}

async function settled<Value>(promise: Promise<Value>): Promise<Value | RedisError> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof RedisError) return error;
    throw error;
  }
}

/** The server's refusal of all writes, if the script got that instead of an answer about this route. */
function serverRefusal(answer: string | undefined): RedisError | undefined {
  const message = answer?.slice(1) ?? "";
  const refused = answer?.[0] === "?" || (answer?.[0] === "!" && refusesAllWrites(message));
  return refused ? new RedisError(message, { code: replyCode(message) }) : undefined;
}

function answerOf(
  answer: string | undefined,
  where: Pick<Publication, "stream" | "epoch">,
): HandOffAnswer {
  switch (answer?.[0]) {
    case "+":
      return { kind: "published", publication: { entryId: answer.slice(1), ...where } };
    case "-":
      return { kind: "absent" };
    case "!":
      return { kind: "refused", message: answer.slice(1) };
    case "~":
      return { kind: "late" };
    default:
      return { kind: "unanswered" };
  }
}
