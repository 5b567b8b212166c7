/** The effect of the User Service's answers: found, finally refused, or unavailable (docs/contract.md, section 3). */
import assert from "node:assert/strict";
import { breakOff, hang, refuse } from "../../scripts/servers/user_service.ts";
import { outcomeOf, verdicts } from "../support/outcome.ts";
import { openRig } from "../support/rig.ts";
import { testOnOneRig } from "../support/shared_rig.ts";
import { eventually } from "../support/wait.ts";

type Answer = (id: string) => Response | Promise<Response>;

/** None of them is an answer about the user. */
const TEMPORARY: Readonly<Record<string, Answer>> = {
  "500": () => new Response("oops", { status: 500 }),
  "500 with an error": () => refuse(500, "internal"),
  "503": () => new Response(null, { status: 503 }),
  "404 of a proxy": () => new Response("<html>404 page not found</html>", { status: 404 }),
  "404 without a body": () => new Response(null, { status: 404 }),
  "404 with other JSON": () => Response.json({ message: "not found" }, { status: 404 }),
  "404 with an array": () => Response.json(["error"], { status: 404 }),
  "404 with a text": () => Response.json("error", { status: 404 }),
  "400 without an error": () => new Response("bad request", { status: 400 }),
  "410 without an error": () => Response.json({}, { status: 410 }),
  "401 with an error": () => refuse(401, "unauthorized"),
  "403 with an error": () => refuse(403, "forbidden"),
  "409 with an error": () => refuse(409, "conflict"),
  "429 with an error": () => refuse(429, "slow_down"),
  "a redirect to a good answer": (id) => redirect(id, 302),
  "a redirect for good": (id) => redirect(id, 308),
  "a redirect and an error": (id) => redirect(id, 301, { error: "moved" }),
  "201 with a good answer": (id) => Response.json(goodAnswer(id), { status: 201 }),
  "204": () => new Response(null, { status: 204 }),
  "200 without a body": () => new Response(null, { status: 200 }),
  "200 that is no JSON": () => new Response("OK"),
  "200 that is half of a JSON": (id) => new Response(JSON.stringify(goodAnswer(id)).slice(0, -2)),
  "200 that breaks off": (id) => breakOff(id),
  "200 that is not UTF-8": () => new Response(new Uint8Array([0x7b, 0xff, 0x7d])),
  "200 with null": () => Response.json(null),
  "200 with an array": (id) => Response.json([goodAnswer(id)]),
  "200 with an error": () => Response.json({ error: "not_found" }),
  "200 without a user": () => Response.json({}),
  "200 with a user of null": () => Response.json({ user: null }),
  "200 without a user_id": () => Response.json({ user: { email: "someone@example.com" } }),
  "200 about another user": () => Response.json(goodAnswer("user-2")),
  "200 about the user in other case": (id) => Response.json(goodAnswer(id.toUpperCase())),
  "200 with an address that is a number": (id) => Response.json({ user: { user_id: id, email: 5 } }),
  "200 with a language that is a list": (id) => Response.json({ user: { user_id: id, preferred_language: ["de"] } }),
  "no answer": () => hang(),
};

/** Final answers, with the code under which the intent is recorded. */
const REFUSALS: Readonly<Record<string, readonly [Answer, string]>> = {
  "404 with an error": [() => refuse(404, "not_found"), "recipient_not_found"],
  "404 with an error of null": [() => Response.json({ error: null }, { status: 404 }), "recipient_not_found"],
  "400 with an error": [() => refuse(400, "invalid_request"), "invalid_recipients"],
  "410 with an error": [() => refuse(410, "gone"), "invalid_recipients"],
  "422 with an error": [() => Response.json({ error: "no", more: [1] }, { status: 422 }), "invalid_recipients"],
};

testOnOneRig("User Service", { env: { NOTIFICATION_USER_SERVICE_TIMEOUT: "2s" } }, {
  "every kind of temporary failure is asked again until there is an answer": async ({ rig }) => {
    const kinds = Object.entries(TEMPORARY);
    const asked = new Map<string, number>();
    rig.users.behaviour = (id) => {
      asked.set(id, (asked.get(id) ?? 0) + 1);
      const answer = kinds[Number(/^kind-(\d+)$/.exec(id)?.[1])]?.[1];
      if (answer === undefined) return undefined;
      return asked.get(id) === 1 ? answer(id) : Response.json(goodAnswer(id));
    };
    const entryIds: string[] = [];
    for (const index of kinds.keys()) {
      entryIds.push(await rig.addIntent({ recipient_user_ids_json: `["user-1","kind-${index}"]` }));
    }
    await rig.settled();
    const found = await verdicts(rig, entryIds);
    assert.deepEqual(Object.fromEntries(kinds.map(([kind], index) => [kind, found[index]])), all(kinds, "accepted"));
    const times = kinds.map(([kind], index) => [kind, asked.get(`kind-${index}`)]);
    assert.deepEqual(Object.fromEntries(times), all(kinds, 2));
    assert.equal((await rig.clientEvents()).length, 2 * kinds.length);
  },

  "a refusal makes the intent malformed, although other recipients were found": async ({ rig }) => {
    const kinds = Object.entries(REFUSALS);
    rig.users.behaviour = (id) => kinds[Number(/^refused-(\d+)$/.exec(id)?.[1])]?.[1][0](id);
    const entryIds: string[] = [];
    for (const index of kinds.keys()) {
      entryIds.push(await rig.addIntent({ recipient_user_ids_json: `["user-1","refused-${index}","user-2"]` }));
    }
    await rig.settled();
    assert.deepEqual(await verdicts(rig, entryIds), kinds.map(([, [, code]]) => code));
    for (const [index, entryId] of entryIds.entries()) {
      const { malformed, routes } = await outcomeOf(rig, entryId);
      assert.match(malformed?.failure_message ?? "", new RegExp(`refused-${index}`));
      assert.deepEqual(routes, []);
    }
  },

  "extra members, and members without a value, are ignored": async ({ rig }) => {
    rig.users.behaviour = (id) =>
      Response.json({ user: { user_id: id, email: null, preferred_language: null, roles: ["x"] }, trace: 1 });
    const entryId = await rig.addIntent({ recipient_user_ids_json: '["someone"]' });
    await rig.settled();
    assert.deepEqual((await outcomeOf(rig, entryId)).routes.map((route) => route.status), ["skipped", "published"]);
  },
});

Deno.test("each user of a batch is looked up once", async () => {
  await using rig = await openRig();
  for (let index = 0; index < 30; index++) await rig.addIntent({ recipient_user_ids_json: '["user-1","user-2"]' });
  await rig.start();
  await rig.settled();
  assert.deepEqual([...rig.users.requestedIds].sort(), ["user-1", "user-2"]);
});

Deno.test("look-ups run concurrently, as many as allowed", async () => {
  await using rig = await openRig({
    env: { NOTIFICATION_USER_SERVICE_MAX_CONCURRENCY: "4", NOTIFICATION_USER_SERVICE_TIMEOUT: "5s" },
    otherUsers: () => ({}),
  });
  rig.users.behaviour = (id) => new Promise((resolve) => setTimeout(() => resolve(Response.json(goodAnswer(id))), 20));
  const ids = Array.from({ length: 40 }, (_, index) => `user-${index}`);
  await rig.addIntent({ recipient_user_ids_json: JSON.stringify(ids) });
  await rig.start();
  await rig.settled();
  assert.equal(rig.users.inFlight.max, 4);
  assert.deepEqual([...rig.users.requestedIds].sort(), [...ids].sort());
});

Deno.test("a found user is reused within the cache's time, one not found is not", async () => {
  await using rig = await openRig({ env: { NOTIFICATION_USER_SERVICE_CACHE_TTL: "500ms" } });
  await rig.start();
  const deliver = async (id: string) => {
    const entryId = await rig.addIntent({ recipient_user_ids_json: JSON.stringify([id]) });
    await rig.settled();
    return (await verdicts(rig, [entryId]))[0];
  };
  const begun = performance.now();
  assert.deepEqual([await deliver("user-1"), await deliver("user-1")], ["accepted", "accepted"]);
  if (performance.now() - begun < 450) assert.deepEqual(rig.users.requestedIds, ["user-1"]);
  assert.equal(await deliver("new"), "recipient_not_found");
  rig.users.users.set("new", {});
  assert.equal(await deliver("new"), "accepted");
  await eventually(async () => {
    await deliver("user-1");
    return rig.users.requestedIds.filter((id) => id === "user-1").length >= 2;
  }, { intervalMs: 50 });
  assert.ok(performance.now() - begun > 500);
});

Deno.test("a base URL may end in a slash or have a path", async () => {
  const paths: string[] = [];
  await using rig = await openRig();
  await using proxy = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    paths.push(new URL(request.url).pathname);
    return Response.json(goodAnswer("user-1"));
  });
  for (const path of ["/", "/inner/path", "/inner/path/"]) {
    const service = await rig.start({
      NOTIFICATION_USER_SERVICE_BASE_URL: `http://127.0.0.1:${proxy.addr.port}${path}`,
    });
    await rig.addIntent();
    await rig.settled();
    await service.terminate();
  }
  assert.deepEqual(paths, [
    "/api/v1/internal/users/user-1",
    "/inner/path/api/v1/internal/users/user-1",
    "/inner/path/api/v1/internal/users/user-1",
  ]);
});

function goodAnswer(id: string) {
  return { user: { user_id: id, email: "found@example.com", preferred_language: "en-US" } };
}

function redirect(id: string, status: number, body: unknown = goodAnswer(id)): Response {
  return Response.json(body, { status, headers: { location: "/api/v1/internal/users/user-1" } });
}

function all<Value>(kinds: readonly (readonly [string, unknown])[], value: Value): Record<string, Value> {
  return Object.fromEntries(kinds.map(([kind]) => [kind, value]));
}
