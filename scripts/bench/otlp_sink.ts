/**
 * Nothing → an OpenTelemetry collector that discards what it receives, as a separate process, which prints its base
 * URL; `GET /requests` returns the number of exports so far. It decodes nothing, because the cost of exporting is
 * measured, not the cost of a collector.
 */

let requests = 0;
const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
  if (request.method === "GET") return new Response(String(requests));
  requests++;
  await request.arrayBuffer();
  return new Response(new Uint8Array(), { headers: { "content-type": "application/x-protobuf" } });
});
console.log(`http://127.0.0.1:${server.addr.port}`);
