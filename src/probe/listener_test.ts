/** The probe on a real port: two paths, two methods, and a close that ends. */
import assert from "node:assert/strict";
import { captureLog } from "../../tests/support/captured_log.ts";
import { openProbe, type ProbeListener } from "./listener.ts";

async function withProbe(test: (probe: ProbeListener, url: string) => Promise<void>): Promise<void> {
  await using _log = captureLog();
  const probe = openProbe({ hostname: "127.0.0.1", port: 0 });
  try {
    await test(probe, `http://127.0.0.1:${probe.port}`);
  } finally {
    await probe.close(1_000);
  }
}

async function answerTo(url: string, method = "GET") {
  const response = await fetch(url, { method, redirect: "manual" });
  return { status: response.status, type: response.headers.get("content-type"), body: await response.text() };
}

/** Sends bytes and returns the first line of the answer. */
async function statusLine(port: number, request: string): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new TextEncoder().encode(request));
  const buffer = new Uint8Array(1_024);
  const read = await connection.read(buffer);
  return new TextDecoder().decode(buffer.subarray(0, read ?? 0)).split("\r\n")[0]!;
}

Deno.test("the probe answers GET and HEAD", () =>
  withProbe(async (_probe, url) => {
    const type = "application/json";
    for (const [path, body] of [["/healthz", '{"status":"ok"}'], ["/readyz", '{"status":"ready"}']]) {
      assert.deepEqual(await answerTo(url + path), { status: 200, type, body });
      assert.deepEqual(await answerTo(`${url}${path}?verbose`), { status: 200, type, body });
      assert.deepEqual(await answerTo(url + path, "HEAD"), { status: 200, type, body: "" });
    }
  }));

Deno.test("the probe has no other path", () =>
  withProbe(async (_probe, url) => {
    for (
      const path of ["/", "", "/metrics", "/healthz/", "/Healthz", "//healthz", "/health", "/__proto__", "/toString"]
    ) {
      for (const method of ["GET", "HEAD", "POST"]) {
        assert.equal((await answerTo(url + path, method)).status, 404, path);
      }
    }
  }));

Deno.test("the probe refuses other methods, and names those that it allows", () =>
  withProbe(async (_probe, url) => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      const response = await fetch(`${url}/readyz`, { method });
      await response.body?.cancel();
      assert.deepEqual([response.status, response.headers.get("allow")], [405, "GET, HEAD"]);
    }
  }));

Deno.test("the probe survives invalid requests", () =>
  withProbe(async ({ port }, url) => {
    const requests: [string, RegExp][] = [
      ["GET /healthz HTTP/1.1\r\nHost: a b[\r\nConnection: close\r\n\r\n", / 400 /],
      ["OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", / 404 /],
      ["GET http://elsewhere/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", / 200 /],
      ["GET /healthz HTTP/1.0\r\n\r\n", / 200 /],
      ["\x16\x03\x01 nonsense\r\n\r\n", / 400 /],
    ];
    for (const [request, status] of requests) assert.match(await statusLine(port, request), status, request);
    assert.equal((await answerTo(`${url}/healthz`)).status, 200);
  }));

Deno.test("the probe logs where it listens, and when it stops", async () => {
  await using log = captureLog();
  const probe = openProbe({ hostname: "127.0.0.1", port: 0 });
  await probe.close(1_000);
  const lines = (await log.lines()).map(({ time: _, ...line }) => line);
  assert.deepEqual(lines, [
    { level: "info", logger: "internal_http", message: "started", hostname: "127.0.0.1", port: probe.port },
    { level: "info", logger: "internal_http", message: "stopped" },
  ]);
  await assert.rejects(Deno.connect({ hostname: "127.0.0.1", port: probe.port }), Deno.errors.ConnectionRefused);
});

Deno.test("openProbe() throws when the port is in use", () =>
  withProbe(({ port }) => {
    for (const hostname of ["127.0.0.1", ""]) {
      assert.throws(() => openProbe({ hostname, port }), Deno.errors.AddrInUse, hostname);
    }
    return Promise.resolve();
  }));

Deno.test("openProbe() listens on all interfaces, and only on those of IPv4 if the kernel has no IPv6", async () => {
  await using _log = captureLog();
  const { serve } = Deno;
  const asked: string[] = [];
  const serveWithoutIpv6 = (options: Deno.ServeTcpOptions, handler: Deno.ServeHandler<Deno.NetAddr>) => {
    asked.push(options.hostname!);
    // The error that Deno throws without IPv6.
    const error = new Error("Address family not supported by protocol (os error 97)");
    if (options.hostname!.includes(":")) throw Object.assign(error, { code: "EAFNOSUPPORT" });
    return serve(options, handler);
  };
  for (const replacement of [serve, serveWithoutIpv6]) {
    Object.defineProperty(Deno, "serve", { value: replacement, configurable: true, enumerable: true, writable: true });
    try {
      const probe = openProbe({ hostname: "", port: 0 });
      assert.equal((await answerTo(`http://127.0.0.1:${probe.port}/readyz`)).status, 200);
      await probe.close(1_000);
    } finally {
      Object.defineProperty(Deno, "serve", { value: serve, configurable: true, enumerable: true, writable: true });
    }
  }
  assert.deepEqual(asked, ["::", "0.0.0.0"]);
});

Deno.test("close() doesn't wait for a client that never finishes its request", async () => {
  await using _log = captureLog();
  const probe = openProbe({ hostname: "127.0.0.1", port: 0 });
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: probe.port });
  await connection.write(new TextEncoder().encode("GET /healthz HTTP/1.1\r\nHost: x\r\n"));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const startedAt = performance.now();
  await probe.close(50);
  assert.ok(performance.now() - startedAt < 2_000);
  connection.close();
  await probe.close(1_000);
});
