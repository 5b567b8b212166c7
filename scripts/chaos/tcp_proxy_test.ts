/**
 * The proxy forwards everything until it is frozen, then nothing in either direction; what was held back is delivered
 * later in order, or never.
 */
import assert from "node:assert/strict";
import { TcpProxy } from "./tcp_proxy.ts";

Deno.test("TcpProxy forwards bytes and ends of connections", async () => {
  using server = echo();
  using proxy = new TcpProxy(server.port);
  using client = await Deno.connect({ port: proxy.port, hostname: "127.0.0.1" });
  assert.equal(await say(client, "one"), "one");
  await client.closeWrite();
  assert.equal(await client.read(new Uint8Array(8)), null);
});

Deno.test("TcpProxy holds everything back while it is frozen and delivers it after a thaw", async () => {
  using server = echo();
  using proxy = new TcpProxy(server.port);
  using old = await Deno.connect({ port: proxy.port, hostname: "127.0.0.1" });
  await say(old, "one");
  proxy.freeze();
  using fresh = await Deno.connect({ port: proxy.port, hostname: "127.0.0.1" });
  const answers = Promise.all([say(old, "two"), say(fresh, "three")]);
  assert.equal(await within(50, answers), "nothing");
  proxy.thaw({ lose: false });
  assert.deepEqual(await answers, ["two", "three"]);
});

Deno.test("TcpProxy freezes when a client sends a text, and holds this text back", async () => {
  using server = echo();
  using proxy = new TcpProxy(server.port);
  using client = await Deno.connect({ port: proxy.port, hostname: "127.0.0.1" });
  const held = proxy.freezeAt((text) => text.includes("two"), 10);
  assert.equal(await say(client, "one"), "one");
  const answer = say(client, "and two");
  assert.equal(await held, "and two");
  assert.equal(await within(50, answer), "nothing");
  proxy.thaw({ lose: false });
  assert.equal(await answer, "and two");
  assert.equal(await say(client, "two"), "two");
});

Deno.test("TcpProxy does not freeze if the text does not come in time", async () => {
  using server = echo();
  using proxy = new TcpProxy(server.port);
  using client = await Deno.connect({ port: proxy.port, hostname: "127.0.0.1" });
  const held = proxy.freezeAt((text) => text.includes("two"), 0.02);
  assert.equal(await say(client, "one"), "one");
  assert.equal(await held, undefined);
  assert.equal(await say(client, "two"), "two");
});

Deno.test("TcpProxy never delivers what is lost, but accepts new connections", async () => {
  using server = echo();
  using proxy = new TcpProxy(server.port);
  using old = await Deno.connect({ port: proxy.port, hostname: "127.0.0.1" });
  await say(old, "one");
  proxy.freeze();
  proxy.thaw({ lose: true });
  using fresh = await Deno.connect({ port: proxy.port, hostname: "127.0.0.1" });
  assert.equal(await say(fresh, "two"), "two");
  const answer = say(old, "three");
  assert.equal(await within(50, answer), "nothing");
  proxy.refuse();
  assert.equal(await answer, "");
});

Deno.test("TcpProxy refuses and accepts again", async () => {
  using server = echo();
  using proxy = new TcpProxy(server.port);
  proxy.refuse();
  await assert.rejects(Deno.connect({ port: proxy.port, hostname: "127.0.0.1" }), /refused|reset/i);
  proxy.accept();
  using client = await Deno.connect({ port: proxy.port, hostname: "127.0.0.1" });
  assert.equal(await say(client, "one"), "one");
});

function echo(): { port: number; [Symbol.dispose](): void } {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  (async () => {
    for await (const connection of listener) {
      connection.readable.pipeTo(connection.writable).catch(() => {}); // the client may close the connection
    }
  })().catch(() => {}); // closed
  return { port: listener.addr.port, [Symbol.dispose]: () => listener.close() };
}

async function say(connection: Deno.TcpConn, text: string): Promise<string> {
  await connection.write(new TextEncoder().encode(text));
  const reply = new Uint8Array(64);
  const length = await connection.read(reply).catch(() => null);
  return new TextDecoder().decode(reply.subarray(0, length ?? 0));
}

async function within(ms: number, promise: Promise<unknown>): Promise<unknown> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const nothing = new Promise((resolve) => timer = setTimeout(() => resolve("nothing"), ms));
  const result = await Promise.race([promise, nothing]);
  clearTimeout(timer);
  return result;
}
