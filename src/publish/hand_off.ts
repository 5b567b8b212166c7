/**
 * Outbound entries → the outbound stream, each at most once, whatever dies and however often it is tried.
 *
 * One atomic script a hundred routes. For each route it looks at the route's lease: `published:<entry id>` means that
 * the entry is there already and gives its id; otherwise it appends the entry and sets the lease. A claim older than
 * its life, or from the future, appends nothing. Contract, section 6.
 */
import { type RedisConnection, Script } from "../redis/connection.ts";
import { RedisError, refusesAllWrites, replyCode } from "../redis/failures.ts";

/** A claim's life: what a paused publisher may still append after, and how long a finished lease is kept. */
export const CLAIM_LIFE_MS = 10_000;

const MAX_ROUTES_A_CALL = 100;
const MAX_LEASES_A_CALL = 500;
const MAX_BYTES_A_CALL = 1024 * 1024;

/** What became of one route's entry. */
export type HandOffAnswer =
  | { readonly kind: "published"; readonly entryId: string }
  /** It was not published before, and there was nothing to append. */
  | { readonly kind: "absent" }
  /** The outbound stream refused this very entry. */
  | { readonly kind: "refused"; readonly message: string }
  /** Nothing is known, or nothing was tried: the route stays as it is. */
  | { readonly kind: "unanswered" };

export interface Delivery {
  readonly leaseKey: string;
  /** Names and values in turn; none asks only whether the route was published before. */
  readonly fields: readonly string[];
}

export interface HandOffOptions {
  readonly stream: string;
  /** Approximate `MAXLEN`; 0 never trims. */
  readonly maxLength: number;
  readonly leaseTtlMs: number;
  /** Replicas that must acknowledge before an answer counts; 0 for none. */
  readonly waitReplicas: number;
  /** Bound of the wait for them. */
  readonly waitMs: number;
  /** Redis's time before the routes were claimed, or accepted here; Unix milliseconds. */
  readonly claimedAtMs: number;
  /** How long after that the script may still append. */
  readonly claimLifeMs: number;
}

export interface HandOffResult {
  /** In the order of the deliveries. */
  readonly answers: readonly HandOffAnswer[];
  /** Why some are unanswered, if they are: the channel then pauses. */
  readonly outage: RedisError | undefined;
}

// KEYS: the stream. ARGV: claim time, its life, lease TTL, MAXLEN, whether a lease found is to be written again (so that a
// WAIT that follows covers it), and the deliveries as JSON, which JavaScript writes and Lua reads several times as fast as
// two thousand arguments; the leases' keys are in it, which is no matter outside of a cluster.
// Answers, as JSON: "+id" published, "-" absent, "!error" refused by the stream, "?error" refused by the server, "~" stale
// claim.
const HAND_OFF = new Script(`
local time = redis.call('TIME')
local age = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[1])
local stale = age < 0 or age > tonumber(ARGV[2])
local ttl, maxlen, rewrite = ARGV[3], ARGV[4], ARGV[5] == '1'
local stream, answers = KEYS[1], {}
for i, delivery in ipairs(cjson.decode(ARGV[6])) do
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
  elseif stale then
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
return cjson.encode(answers)
`);

const SHORTEN_LEASES = new Script(`
for _, key in ipairs(cjson.decode(ARGV[2])) do redis.call('PEXPIRE', key, ARGV[1]) end
`);

export function leaseKeyOf(notificationId: string, routeId: string): string {
  return `route_leases:${notificationId}:${routeId}`;
}

/** Never rejects for what Redis does: what is not known is unanswered. */
export async function handOff(
  redis: RedisConnection,
  deliveries: readonly Delivery[],
  options: HandOffOptions,
): Promise<HandOffResult> {
  if (deliveries.length === 0) return { answers: [], outage: undefined };
  const calls = callsOf(deliveries);
  // All calls are on their way before the first is answered; the WAIT follows them on the same connection.
  const pending = calls.map((call) => settled(runCall(redis, call, options)));
  const waiting = options.waitReplicas > 0 ? settled(waitForReplicas(redis, options)) : undefined;
  const answers: HandOffAnswer[] = [];
  let outage: RedisError | undefined;
  for (const [index, reply] of (await Promise.all(pending)).entries()) {
    if (reply instanceof RedisError) outage ??= reply;
    for (let at = 0; at < calls[index]!.length; at++) {
      const answer = reply instanceof RedisError ? undefined : reply[at];
      const refusal = serverRefusal(answer);
      outage ??= refusal;
      answers.push(refusal === undefined ? answerOf(answer) : { kind: "unanswered" });
    }
  }
  const replicas = await waiting;
  if (replicas !== undefined && replicas !== "enough") {
    return { answers: deliveries.map(() => ({ kind: "unanswered" })), outage: outage ?? replicas };
  }
  return { answers, outage };
}

/** To be called once PostgreSQL has committed the outcomes: the leases then live on for a claim's life. */
export async function shortenLeases(redis: RedisConnection, leaseKeys: readonly string[]): Promise<void> {
  const calls: Promise<unknown>[] = [];
  for (let at = 0; at < leaseKeys.length; at += MAX_LEASES_A_CALL) {
    const some = leaseKeys.slice(at, at + MAX_LEASES_A_CALL);
    calls.push(redis.run(SHORTEN_LEASES, [], [CLAIM_LIFE_MS, JSON.stringify(some)]));
  }
  await Promise.all(calls);
}

function callsOf(deliveries: readonly Delivery[]): Delivery[][] {
  const calls: Delivery[][] = [];
  let bytes = Infinity;
  for (const delivery of deliveries) {
    const size = delivery.fields.reduce((sum, field) => sum + field.length, 0);
    if (bytes + size > MAX_BYTES_A_CALL || calls.at(-1)!.length === MAX_ROUTES_A_CALL) {
      calls.push([]);
      bytes = 0;
    }
    calls.at(-1)!.push(delivery);
    bytes += size;
  }
  return calls;
}

async function runCall(
  redis: RedisConnection,
  call: readonly Delivery[],
  { stream, maxLength, leaseTtlMs, claimedAtMs, claimLifeMs, waitReplicas }: HandOffOptions,
): Promise<string[]> {
  const isWaited = waitReplicas > 0;
  const args = [claimedAtMs, claimLifeMs, leaseTtlMs, maxLength, isWaited ? 1 : 0, JSON.stringify(call)];
  // With a WAIT behind it the script must not be sent a second time behind that.
  const reply = await (isWaited ? redis.runAtOnce(HAND_OFF, [stream], args) : redis.run(HAND_OFF, [stream], args));
  return JSON.parse(reply as string);
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

/** The server's refusal of all writes, where the script met one in the place of an answer about this route. */
function serverRefusal(answer: string | undefined): RedisError | undefined {
  const message = answer?.slice(1) ?? "";
  const refused = answer?.[0] === "?" || (answer?.[0] === "!" && refusesAllWrites(message));
  return refused ? new RedisError(message, { code: replyCode(message) }) : undefined;
}

function answerOf(answer: string | undefined): HandOffAnswer {
  switch (answer?.[0]) {
    case "+":
      return { kind: "published", entryId: answer.slice(1) };
    case "-":
      return { kind: "absent" };
    case "!":
      return { kind: "refused", message: answer.slice(1) };
    default:
      return { kind: "unanswered" };
  }
}
