// OTLP over TLS with a private authority and client certificates, by the standard variables, in all three protocols. If
// the runtime can't encrypt gRPC (before Deno 2.8), that is one warning at the start.

import assert from "node:assert/strict";
import { scratchFolder } from "../../scripts/servers/account.ts";
import { Authority, type Certificate } from "../support/certificates.ts";
import { runProgram } from "../support/command.ts";
import { OtlpReceiver, type Protocol } from "../support/otlp_receiver.ts";
import { openRig } from "../support/rig.ts";
import { eventually } from "../support/wait.ts";

interface Tls {
  readonly folder: string;
  readonly authority: string;
  readonly served: Certificate;
  readonly client: Certificate;
  readonly foreignAuthority: string;
}

async function withTls(work: (tls: Tls) => Promise<void>): Promise<void> {
  const folder = await scratchFolder("notification-tls");
  try {
    const account = undefined;
    const authority = await Authority.create(folder, { name: "authority", account });
    const foreign = await Authority.create(folder, { name: "foreign", account });
    await work({
      folder,
      authority: authority.certificate,
      served: await authority.sign("served", { days: 2 }),
      client: await authority.sign("client", { days: 2 }),
      foreignAuthority: foreign.certificate,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const trusting = (authority: string) => ({ OTEL_EXPORTER_OTLP_CERTIFICATE: authority });
const presenting = ({ certificate, key }: Certificate) => ({
  OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: certificate,
  OTEL_EXPORTER_OTLP_CLIENT_KEY: key,
});

for (const protocol of ["http/protobuf", "http/json"] as const) {
  Deno.test(`${protocol} is exported over TLS, with a private authority and a client certificate`, async () => {
    await withTls((tls) => exportsAll(protocol, tls));
  });
}

Deno.test("grpc is exported over TLS as well, or refused with one warning per signal", async () => {
  await using rig = await openRig();
  const { stdout } = await runProgram(rig.env, ["version", "--json"]);
  const [major = 0, minor = 0] = String(JSON.parse(stdout).deno).split(".").map(Number);
  await withTls((tls) => major > 2 || minor >= 8 ? exportsAll("grpc", tls) : isRefused(tls));
});

Deno.test("a collector whose authority is unknown is one warning that names TLS's variables", async () => {
  await withTls(async (tls) => {
    await using otlp = await OtlpReceiver.start("http/protobuf", tls.served);
    await using rig = await openRig({ env: { ...otlp.env, ...trusting(tls.foreignAuthority) } });
    const service = await rig.start();
    await rig.addIntent();
    await rig.settled();
    const isWarning = ({ logger }: { logger: string }) => logger === "open_telemetry";
    await eventually(() => service.logs.some(isWarning));
    assert.equal((await service.terminate()).code, 0);
    assert.equal(service.stderr, "");
    const warnings = service.logs.filter(isWarning);
    assert.equal(warnings.length, 1, service.output());
    assert.match(String(warnings[0]!["advice"]), /OTEL_EXPORTER_OTLP_CERTIFICATE/);
    assert.deepEqual(otlp.requests, []);
  });
});

/** To a collector that requires certificates: without ours it gets nothing, with it all three signals. */
async function exportsAll(protocol: Protocol, tls: Tls): Promise<void> {
  await using otlp = await OtlpReceiver.start(protocol, { ...tls.served, clients: tls.authority });
  await using rig = await openRig({ env: { ...otlp.env, ...trusting(tls.authority) } });
  const without = await rig.start();
  await rig.addIntent();
  await rig.settled();
  assert.equal((await without.terminate()).code, 0);
  assert.equal(otlp.requests.length, 0, "it needs a certificate");

  const service = await rig.start(presenting(tls.client));
  await rig.addIntent();
  await rig.settled();
  await otlp.untilSpans(3, () => true);
  assert.equal((await service.terminate()).code, 0);
  assert.equal(service.stderr, "");
  assert.deepEqual([...new Set(otlp.requests.map((request) => request.split(" ")[0]))].sort(), [
    "logs",
    "metrics",
    "traces",
  ]);
}

async function isRefused(tls: Tls): Promise<void> {
  await using otlp = await OtlpReceiver.start("grpc", tls.served);
  await using rig = await openRig({ env: { ...otlp.env, ...trusting(tls.authority) } });
  const service = await rig.start();
  await rig.addIntent();
  await rig.settled();
  assert.equal((await service.terminate()).code, 0);
  assert.equal(service.stderr, "");
  const warnings = service.logs.filter(({ warning }) => /can't encrypt gRPC/.test(String(warning)));
  const signals = warnings.map(({ warning }) => String(warning).split(" ")[0]).sort();
  assert.deepEqual(signals, ["logs", "metrics", "traces"], service.output());
  assert.deepEqual(service.logs.filter(({ logger }) => logger === "open_telemetry"), []);
}
