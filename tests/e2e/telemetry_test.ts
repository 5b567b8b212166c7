// probe
import { openRig } from "../support/rig.ts";
import { OtlpReceiver, type Protocol } from "../support/otlp_receiver.ts";
for (const p of ["http/protobuf","http/json","grpc"] as Protocol[])
Deno.test(`x ${p}`, async () => {
  await using otlp = await OtlpReceiver.start(p);
  await using rig = await openRig({ env: otlp.env });
  const s = await rig.start();
  await rig.addIntent({ traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", trace_id: "abc" });
  await rig.addIntent({});
  await rig.addIntent({ payload_json: "{}" });
  await rig.settled();
  await otlp.nextExport();
  const exit = await s.terminate();
  console.log(exit, s.stderr);
  console.log(s.stdout);
  console.log(otlp.requests.length, new Set(otlp.requests));
  if (p !== "http/json") { console.log(otlp.spans.length, otlp.logs.length); return; }
  console.log(JSON.stringify(otlp.spans, null, 1));
  console.log(JSON.stringify(otlp.logs.map(({resource, ...l})=>l)).slice(0, 4000));
  for (const m of otlp.metricExports.at(-3)!) console.log(m.name, m.unit, m.kind, JSON.stringify(m.points).slice(0, 300));
  console.log(otlp.spans[0]?.resource);
});
