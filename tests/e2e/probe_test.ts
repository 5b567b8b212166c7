/** The probe listener (docs/contract.md, section 8). */
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { freePort } from "../../scripts/servers/free_port.ts";
import { openRig } from "../support/rig.ts";
import { testOnOneRig } from "../support/shared_rig.ts";

testOnOneRig("Probe", {}, {
  "GET and HEAD of both paths": async ({ service }) => {
    for (const [path, body] of [["/healthz", '{"status":"ok"}'], ["/readyz", '{"status":"ready"}']] as const) {
      for (const method of ["GET", "HEAD"]) {
        const response = await fetch(`${service.probeUrl}${path}`, { method });
        assert.equal(response.status, 200);
        assert.match(response.headers.get("content-type") ?? "", /^application\/json/);
        assert.equal((await response.text()).trim(), method === "GET" ? body : "");
      }
      const response = await fetch(`${service.probeUrl}${path}?verbose=1`);
      assert.deepEqual([response.status, (await response.text()).trim()], [200, body]);
    }
  },

  "other methods are 405 with Allow": async ({ service }) => {
    for (const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"]) {
      const response = await fetch(`${service.probeUrl}/readyz`, {
        method,
        ...(method === "POST" ? { body: "x" } : {}),
      });
      await response.body?.cancel();
      assert.equal(response.status, 405, method);
      assert.deepEqual(response.headers.get("allow")?.split(/, */).sort(), ["GET", "HEAD"]);
    }
  },

  "other paths are 404, and there are no metrics": async ({ service }) => {
    for (
      const path of ["/", "/metrics", "/healthz/", "/readyz/more", "/Healthz", "//healthz", "/%68ealthz", "/debug"]
    ) {
      const response = await fetch(`${service.probeUrl}${path}`);
      await response.body?.cancel();
      assert.equal(response.status, 404, path);
    }
  },

  "the probe survives garbage": async ({ service }) => {
    const { hostname, port } = new URL(service.probeUrl);
    for (
      const text of [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: \xff\r\n\r\n",
        "x".repeat(100_000),
      ]
    ) {
      using connection = await Deno.connect({ hostname, port: Number(port) });
      await connection.write(new TextEncoder().encode(text)).catch(() => {}); // the server may close before the end
    }
    const response = await fetch(`${service.probeUrl}/healthz`);
    assert.equal(await response.text(), '{"status":"ok"}');
  },
});

Deno.test("an address without a host means all interfaces, one with a host only that one", async () => {
  await using rig = await openRig();
  const own = Object.values(networkInterfaces()).flat().find((each) => each?.family === "IPv4" && !each.internal);
  const other = own?.address ?? "127.0.0.2";
  const everywhere = freePort();
  await rig.start({ NOTIFICATION_INTERNAL_HTTP_ADDR: `:${everywhere}` });
  for (const host of ["127.0.0.1", other]) {
    const response = await fetch(`http://${host}:${everywhere}/healthz`);
    assert.equal(await response.text(), '{"status":"ok"}');
  }
  const here = freePort();
  await rig.start({ NOTIFICATION_INTERNAL_HTTP_ADDR: `127.0.0.1:${here}` });
  await assert.rejects(fetch(`http://${other}:${here}/healthz`), TypeError);
});
