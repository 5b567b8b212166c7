/**
 * The User Service over https with a private authority: trusted by DENO_CERT, or by the system's store if SSL_CERT_FILE
 * names it; otherwise an outage whose log line and `check` name TLS and the setting. Both are read again when a
 * handshake fails.
 */
import assert from "node:assert/strict";
import { scratchFolder } from "../../scripts/servers/account.ts";
import { freePort } from "../../scripts/servers/free_port.ts";
import { Authority, type Certificate } from "../support/certificates.ts";
import { runProgram } from "../support/command.ts";
import { verdicts } from "../support/outcome.ts";
import { openRig, type Rig } from "../support/rig.ts";
import type { Environment } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

/** Two ways to trust an authority, by its file. */
const TRUSTS: Readonly<Record<string, (file: string) => Environment>> = {
  DENO_CERT: (file) => ({ DENO_CERT: file }),
  SSL_CERT_FILE: (file) => ({ DENO_TLS_CA_STORE: "system", SSL_CERT_FILE: file }),
};

Deno.test("a User Service whose certificate a private authority signed is trusted by DENO_CERT or the system's store", async () => {
  const folder = await scratchFolder("notification-tls");
  try {
    const authority = await Authority.create(folder, { name: "authority", account: undefined });
    const served = await authority.sign("served", { days: 2 });
    await using rig = await openRig();
    await using front = HttpsFront.start(rig, {
      cert: await Deno.readTextFile(served.certificate),
      key: await Deno.readTextFile(served.key),
    });
    const base = { NOTIFICATION_USER_SERVICE_BASE_URL: front.baseUrl };
    for (const trusting of Object.values(TRUSTS)) {
      const trust = trusting(authority.certificate);
      await using service = await rig.start({ ...base, ...trust });
      await rig.addIntent();
      await rig.settled();
      const check = await runProgram({ ...rig.env, ...base, ...trust }, ["check"]);
      assert.match(check.stdout, /✓ user service/, check.stdout + check.stderr);
      assert.equal((await service.terminate()).code, 0);
    }

    const check = await runProgram({ ...rig.env, ...base, DENO_TLS_CA_STORE: "mozilla" }, ["check"]);
    assert.equal(check.code, 0, check.stderr);
    assert.match(check.stdout.replace(/\s+/g, " "), NAMES_TLS);
    await using service = await rig.start({ ...base, DENO_TLS_CA_STORE: "mozilla" });
    await rig.addIntent();
    const outage = await service.waitForLog(({ dependency }) => dependency === "user_service");
    assert.match(String(outage["reason"]), NAMES_TLS);
    await eventually(() => service.exitCode === undefined);
    assert.equal((await service.terminate()).code, 0);
    assert.equal(service.stderr, "");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

for (const [name, trusting] of Object.entries(TRUSTS)) {
  Deno.test(`the User Service's certificate, and its authority in ${name}, are replaced without a restart`, async () => {
    await replaceWhileRunning(trusting);
  });
}

async function replaceWhileRunning(trusting: (file: string) => Environment): Promise<void> {
  const folder = await scratchFolder("notification-tls");
  try {
    const [authority, other] = [
      await Authority.create(folder, { name: "authority", account: undefined }),
      await Authority.create(folder, { name: "other", account: undefined }),
    ];
    const trusted = `${folder}/trusted.pem`;
    await Deno.copyFile(authority.certificate, trusted);
    await using rig = await openRig();
    const port = freePort();
    const servedBy = async (signed: Certificate) =>
      HttpsFront.start(rig, {
        port,
        cert: await Deno.readTextFile(signed.certificate),
        key: await Deno.readTextFile(signed.key),
      });
    let front = await servedBy(await authority.sign("first", { days: 2 }));
    const service = await rig.start({ NOTIFICATION_USER_SERVICE_BASE_URL: front.baseUrl, ...trusting(trusted) });
    const entryIds = [await rig.addIntent()];
    await rig.settled();

    await front[Symbol.asyncDispose]();
    front = await servedBy(await authority.sign("renewed", { days: 2 }));
    entryIds.push(await rig.addIntent());
    await rig.settled();

    // The other authority's certificate before the file that names it: an outage until the file follows.
    await front[Symbol.asyncDispose]();
    front = await servedBy(await other.sign("of_the_other", { days: 2 }));
    entryIds.push(await rig.addIntent());
    const outage = await eventually(() => service.logs.find(({ message }) => message === "dependency is unavailable"));
    assert.match(String(outage["reason"]), NAMES_TLS);
    await Deno.copyFile(other.certificate, trusted);
    await rig.settled();
    await front[Symbol.asyncDispose]();

    assert.deepEqual(await verdicts(rig, entryIds), ["accepted", "accepted", "accepted"]);
    assert.equal((await service.terminate()).code, 0);
    assert.equal(service.stderr, "");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const NAMES_TLS = /TLS handshake failed: .*certificate.*DENO_CERT/;

/** Passes look-ups on to the rig's own User Service. */
class HttpsFront implements AsyncDisposable {
  readonly baseUrl: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  private constructor(server: Deno.HttpServer<Deno.NetAddr>) {
    this.#server = server;
    this.baseUrl = `https://127.0.0.1:${server.addr.port}`;
  }

  /** @param tls with a port, or on any free one */
  static start(rig: Rig, tls: { port?: number; cert: string; key: string }): HttpsFront {
    const options = { hostname: "127.0.0.1", port: 0, onListen: () => {}, ...tls };
    return new HttpsFront(Deno.serve(options, async ({ url }) => {
      const { status, body } = await fetch(rig.users.baseUrl + new URL(url).pathname);
      return new Response(body, { status, headers: { "content-type": "application/json" } });
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}
