/**
 * OTLP over TLS with a private authority and client certificates, by the standard variables, in all three protocols. If
 * the runtime can't encrypt gRPC (before Deno 2.8), that is one warning at the start.
 */
import assert from "node:assert/strict";
import { scratchFolder } from "../../scripts/servers/account.ts";
import { freePort } from "../../scripts/servers/free_port.ts";
import { Authority, type Certificate } from "../support/certificates.ts";
import { runProgram } from "../support/command.ts";
import { OtlpReceiver, type Protocol } from "../support/otlp_receiver.ts";
import { openRig } from "../support/rig.ts";
import type { ServiceProcess } from "../support/service_process.ts";
import { eventually } from "../support/wait.ts";

interface Tls {
  readonly folder: string;
  readonly authority: string;
  readonly served: Certificate;
  readonly client: Certificate;
  readonly foreign: Authority;
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
      foreign,
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

for (const protocol of ["http/protobuf", "http/json"] as const) {
  Deno.test(`${protocol}: certificates of both sides and their authority are replaced without a restart`, async () => {
    await withTls((tls) => replacesAll(protocol, tls));
  });
}

Deno.test("a collector whose authority is unknown is one warning that names TLS's variables", async () => {
  await withTls(async (tls) => {
    await using otlp = await OtlpReceiver.start("http/protobuf", tls.served);
    await using rig = await openRig({ env: { ...otlp.env, ...trusting(tls.foreign.certificate) } });
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

/**
 * Each file that the variables name gets another authority's content, and the collector comes back with that
 * authority's.
 */
async function replacesAll(protocol: Protocol, { folder, authority, served, client, foreign }: Tls): Promise<void> {
  const [trusted, own] = [`${folder}/trusted.pem`, { certificate: `${folder}/own.pem`, key: `${folder}/own.key` }];
  const put = async (authority: string, { certificate, key }: Certificate) => {
    for (const [from, to] of [[authority, trusted], [certificate, own.certificate], [key, own.key]] as const) {
      await Deno.copyFile(from, to);
    }
  };
  await put(authority, client);
  const port = freePort();
  await using rig = await openRig();
  let service: ServiceProcess;
  {
    await using otlp = await OtlpReceiver.start(protocol, { ...served, clients: authority, port });
    service = await rig.start({ ...otlp.env, ...trusting(trusted), ...presenting(own) });
    await rig.addIntent();
    await otlp.untilSpans(3, () => true);
  }
  await put(foreign.certificate, await foreign.sign("foreign_client", { days: 2 }));
  const tls = { ...await foreign.sign("foreign_served", { days: 2 }), clients: foreign.certificate, port };
  await using otlp = await OtlpReceiver.start(protocol, tls);
  await rig.addIntent();
  await otlp.untilSpans(3, () => true);
  await eventually(() => otlp.metricExports.length > 0 && otlp.logs.length > 0);
  assert.equal((await service.terminate()).code, 0);
  assert.equal(service.stderr, "");
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
