/**
 * What an agent that keeps connections holds after answers that close their connection. On Deno 2.7, without the
 * workaround, it holds every socket that it ever opened; CI runs this test on both versions.
 */
import assert from "node:assert/strict";
import { Agent, request } from "node:http";
import { keepNoClosedConnections } from "./closed_sockets.ts";

const ANSWER = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

// On Deno 2.7 destroying the one socket that is held leaves its connection open.
const test = { name: "an agent whose server closes connections holds at most the first", sanitizeResources: false };
Deno.test(test, async () => {
  keepNoClosedConnections();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = serve(listener);
  const agent = new Agent({ keepAlive: true });
  try {
    for (let times = 0; times < 10; times++) assert.equal(await post(agent, listener.addr.port), "ok");
    for (let waited = 0; held(agent) > 1 && waited < 2000; waited += 10) await new Promise((go) => setTimeout(go, 10));
    assert.ok(held(agent) <= 1);
  } finally {
    agent.destroy();
    listener.close();
    await serving;
  }
});

function held({ sockets }: Agent): number {
  return Object.values(sockets).reduce((sum, some) => sum + (some?.length ?? 0), 0);
}

async function post(agent: Agent, port: number): Promise<string> {
  return await new Promise((resolve, reject) => {
    const asking = request({ agent, host: "127.0.0.1", port, method: "POST" }, (response) => {
      let text = "";
      response.on("data", (chunk) => text += chunk);
      response.on("end", () => resolve(text));
      response.on("error", reject);
    });
    asking.on("error", reject);
    asking.end("x");
  });
}

async function serve(listener: Deno.TcpListener): Promise<void> {
  try {
    for await (const connection of listener) {
      await connection.read(new Uint8Array(4096));
      await connection.write(new TextEncoder().encode(ANSWER));
      connection.close();
    }
  } catch {
    // The listener is closed.
  }
}
