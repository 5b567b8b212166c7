/**
 * Nothing → an OpenTelemetry collector that throws away what it gets, as a process of its own, which prints its base
 * URL; `GET /requests` gives the number of exports so far. It decodes nothing: what is measured is what exporting costs
 * the service, not what receiving costs a collector.
 */

let requests = 0;
const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
  if (request.method === "GET") return new Response(String(requests));
  requests++;
  await request.arrayBuffer();
  return new Response(new Uint8Array(), { headers: { "content-type": "application/x-protobuf" } });
});
console.log(`http://127.0.0.1:${server.addr.port}`);
