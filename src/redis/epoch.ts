/**
 * The epoch of a Redis server: its replication id, which is new after every start and every promotion. Each epoch is
 * checked once for losses (`repair/redis_check.ts`); the key {@link redisEpochKey} names the epoch that was checked.
 *
 * The script that writes reads the epoch itself, so that the check also works through a proxy that keeps connections
 * open while another server replaces the first.
 */

/** The epoch of a server that hides its replication id from this user. */
export const HIDDEN_EPOCH = "hidden";

/** The error code of a script that a server refuses because its epoch was not checked. */
export const UNCHECKED_EPOCH = "EPOCH";

/** Lua: the epoch of the server that runs the script, and whether that is a replica. `INFO` costs some 4 µs. */
export const SERVER_EPOCH_LUA = `
local function server_epoch()
  local info = redis.pcall('INFO', 'replication')
  if type(info) ~= 'string' then return '${HIDDEN_EPOCH}', false end
  return string.match(info, 'master_replid:(%w+)') or '${HIDDEN_EPOCH}', string.find(info, 'role:slave', 1, true) ~= nil
end`;
