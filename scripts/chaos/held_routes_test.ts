/** Routes are read from the bytes on a connection, with other bytes before and after them. */
import assert from "node:assert/strict";
import { SEPARATOR } from "../../src/postgres/columns.ts";
import { routeLeaseKey } from "../../src/redis/keys.ts";
import { routesOfHandOff, routesOfStatement } from "./held_routes.ts";

const IDS = ["01a21c30-3d49-76d6-a43b-bf1583392a9b", "01a21c30-3d49-7b76-929d-6263b49bc0df"];

Deno.test("routesOfHandOff() reads the routes from the lease keys of a script call", () => {
  const deliveries = [
    { leaseKey: routeLeaseKey(IDS[0]!, "push:user:user-1"), fields: ["user_id", "user-1"] },
    { leaseKey: routeLeaseKey(IDS[1]!, "push:user:user-2"), fields: ["user_id", "user-2"] },
  ];
  assert.deepEqual(routesOfHandOff(`*9\r\n$7\r\nEVALSHA\r\n$300\r\n${JSON.stringify(deliveries)}\r\n`), [
    { notificationId: IDS[0], routeId: "push:user:user-1" },
    { notificationId: IDS[1], routeId: "push:user:user-2" },
  ]);
  assert.deepEqual(routesOfHandOff(`,"fields":["payload_bytes","{}"]}]\r\n`), []);
});

Deno.test("routesOfStatement() reads the routes from the first parameters of a statement", () => {
  const routeIds = ["push:user:user-1", "email:address:ops@example.com"];
  const parameters = [IDS.join(SEPARATOR), routeIds.join(SEPARATOR), ["5-1", "5-2"].join(SEPARATOR)];
  const bytes = parameters.map((text) => `\0\0\0${String.fromCharCode(text.length)}${text}`).join("");
  assert.deepEqual(routesOfStatement(`B\0\0\0\x7f\0write_published\0\0\0${bytes}\0\0E\0`), [
    { notificationId: IDS[0], routeId: "push:user:user-1" },
    { notificationId: IDS[1], routeId: "email:address:ops@example.com" },
  ]);
  assert.deepEqual(routesOfStatement(parameters[0]!), [], "cut off after the first parameter");
});
