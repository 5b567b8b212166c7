// Connections to a real Redis by the address forms that the configuration takes.

import assert from "node:assert/strict";
import { startRedis } from "../../scripts/servers/redis.ts";
import { parseHostPort } from "../../src/config/addresses.ts";
import { RedisConnection } from "../../src/redis/connection.ts";

/** Some containers have none. */
function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: "::1", port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}

Deno.test("[::1]:6379 is connected to over IPv6", { ignore: !hasIpv6() }, async () => {
  await using server = await startRedis({ args: ["--bind", "127.0.0.1", "::1"] });
  const address = parseHostPort(`[::1]:${server.port}`);
  assert.ok(address !== undefined);
  const password = { reveal: () => server.password };
  const connection = new RedisConnection({ ...address, db: 0, operationTimeoutMs: 2_000, password }, { role: "test" });
  await connection.connect();
  try {
    assert.match(String(await connection.call("CLIENT", "INFO")), new RegExp(`laddr=\\[::1\\]:${server.port} `));
  } finally {
    await connection.close();
  }
});
