/** Which connections are made again when one of them learns about another server; without any server. */
import assert from "node:assert/strict";
import { type Follower, RedisMaster } from "./master.ts";

class Connection implements Follower {
  reconnects = 0;
  reconnect(): void {
    this.reconnects++;
  }
}

/** A master with three connections, each to the server given. */
function connected(...runIds: (string | undefined)[]) {
  const master = new RedisMaster();
  const connections = runIds.map(() => new Connection());
  connections.forEach((connection, at) => {
    assert.equal(master.reached(connection, { role: "master", runId: runIds[at] }), undefined);
  });
  return { master, connections, reconnects: () => connections.map(({ reconnects }) => reconnects) };
}

Deno.test("connections to the same server are kept", () => {
  const { master, connections, reconnects } = connected("one", "one", "one");
  master.closed(connections[0]!);
  master.reached(connections[0]!, { role: "master", runId: "one" });
  assert.deepEqual(reconnects(), [0, 0, 0]);
});

Deno.test("when a connection has reached another server, the others are made again, once", () => {
  const { master, connections, reconnects } = connected("one", "one", "one");
  master.reached(connections[1]!, { role: "master", runId: "two" });
  assert.deepEqual(reconnects(), [1, 0, 1]);
  master.reached(connections[0]!, { role: "master", runId: "two" });
  master.reached(connections[2]!, { role: "master", runId: "two" });
  assert.deepEqual(reconnects(), [1, 0, 1]);
});

Deno.test("a connection that is closed is not made again by others", () => {
  const { master, connections, reconnects } = connected("one", "one");
  master.closed(connections[0]!);
  master.reached(connections[1]!, { role: "master", runId: "two" });
  assert.deepEqual(reconnects(), [0, 0]);
});

Deno.test("all connections leave a server that is no longer a master", () => {
  const { master, connections, reconnects } = connected("one", "one", "one");
  master.demoted(connections[2]!);
  master.demoted(connections[0]!);
  assert.deepEqual(reconnects(), [1, 1, 1]);
});

Deno.test("a replica is refused with a reason and advice; connections to it are made again, others are not", () => {
  const { master, connections, reconnects } = connected("one", "one");
  const refusal = master.reached(new Connection(), { role: "slave", runId: "two" });
  assert.match(String(refusal?.message), /^A master is needed, this server's role is slave$/);
  assert.match(String(refusal?.advice), /NOTIFICATION_REDIS_MASTER_ADDR/);
  assert.deepEqual(reconnects(), [0, 0]);
  master.reached(new Connection(), { role: "slave", runId: "one" });
  assert.deepEqual(reconnects(), [1, 1]);
  master.reached(connections[0]!, { role: "master", runId: "three" });
  assert.deepEqual(reconnects(), [1, 1]);
});

Deno.test("a server that hides its identity is accepted, and no other connection is made again", () => {
  const { master, reconnects } = connected(undefined, "one");
  master.reached(new Connection(), {});
  assert.deepEqual(reconnects(), [0, 0]);
  master.reached(new Connection(), { role: "master", runId: "two" });
  assert.deepEqual(reconnects(), [0, 1]);
});
