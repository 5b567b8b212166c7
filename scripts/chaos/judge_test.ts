/**
 * The judge has to find every breach: each test changes one thing in a correct stretch, and expects exactly the breach
 * that this causes.
 */
import assert from "node:assert/strict";
import type { Breach, Evidence, OutboundFact, RouteFact } from "./facts.ts";
import { judge, judgeOffset, judgeUnchanged } from "./judge.ts";
import { firstNotificationId } from "./evidence.ts";
import type { Fields } from "./intent_mix.ts";
import { inStreamOrder, lostEntries } from "./lost_entries.ts";
import { notificationMs, type SentEntry, sentEntry } from "./sent_entry.ts";

const FIRST_MS = 1_800_000_000_000;

Deno.test("judge() finds no breach in a correct stretch", () => {
  assert.deepEqual(judge(correctStretch()).breaches, []);
});

Deno.test("judge() finds an entry without an outcome", () => {
  const evidence = correctStretch();
  expectOne({
    ...evidence,
    records: evidence.records.filter(({ entryId }) => entryId !== id(1)),
    routes: routesWithout(1),
  }, {
    kind: "lost",
    text: /has no record/,
  });
  expectOne({ ...evidence, malformed: evidence.malformed.filter(({ entryId }) => entryId !== id(4)) }, {
    kind: "lost",
    text: /has no row as invalid_payload/,
  });
});

Deno.test("judge() finds an acknowledged intent that the stream has lost", () => {
  expectOne({ ...correctStretch(), acknowledged: [[1, id(1)], [77, `${FIRST_MS}-9`]] }, {
    kind: "lost",
    text: /intent 77 was acknowledged/,
  });
});

Deno.test("judge() accepts a missing entry only if Redis lost it before the service read it", () => {
  const evidence = { ...correctStretch(), acknowledged: [[77, `${FIRST_MS}-9`]] as const };
  const losses = [{ store: "redis", fromMs: FIRST_MS, toMs: FIRST_MS }] as const;
  assert.deepEqual(judge({ ...evidence, losses }).breaches, []);
  for (const other of [{ store: "postgres" }, { toMs: FIRST_MS - 1 }, { fromMs: FIRST_MS + 1 }] as const) {
    expectOne({ ...evidence, losses: [{ ...losses[0], ...other }] }, { kind: "lost", text: /intent 77/ });
  }
  // The record exists, so Redis lost the entry after the service had read it.
  const [entry] = evidence.sent;
  expectOne({ ...evidence, losses, outbound: evidence.outbound.slice(1) }, {
    kind: "lost",
    text: new RegExp(`entry ${entry!.entryId}\\) counts as published as 5-1`),
  });
});

Deno.test("judge() allows one outbound entry of a notification that both stores lost", () => {
  const evidence = correctStretch();
  const losses = (["redis", "postgres"] as const).map((store) => ({ store, fromMs: FIRST_MS, toMs: FIRST_MS + 9 }));
  const lost = {
    ...evidence.outbound[0]!,
    deliveryId: `${firstNotificationId(FIRST_MS + 9)}/push:user:user-1`,
    entryId: "9-9",
  };
  const outbound = [...evidence.outbound, lost];
  assert.deepEqual(judge({ ...evidence, losses, outbound }).breaches, []);
  const twice = [...outbound, { ...lost, entryId: "9-10" }];
  expectOne({ ...evidence, losses, outbound: twice }, { kind: "twice", text: /was published as 9-9 and 9-10/ });
  expectOne({ ...evidence, losses: losses.slice(0, 1), outbound }, { kind: "wrong", text: /no route asks for it/ });
  const later = [...evidence.outbound, {
    ...lost,
    deliveryId: `${firstNotificationId(FIRST_MS + 10)}/push:user:user-1`,
  }];
  expectOne({ ...evidence, losses, outbound: later }, { kind: "wrong", text: /no route asks for it/ });
});

Deno.test("lostEntries() returns entries that Redis lost as the producer sent them", async () => {
  const { sent, ...evidence } = correctStretch();
  const [first, , , fourth] = sent;
  const kept = sent.filter((entry) => entry !== first && entry !== fourth);
  const query = () =>
    Promise.resolve([{ entry_id: id(1), number: "8" }, { entry_id: id(4), number: "4" }] as unknown as never[]);
  const options = {
    ...evidence,
    sent: kept,
    // An accepted duplicate has the number of the first intent in its payload.
    acknowledged: [[1, id(1)]] as const,
    losses: [{ store: "redis", fromMs: FIRST_MS, toMs: FIRST_MS + 9 }] as const,
    fieldsOf: (number: number) => pairs(fields({ number, failure: number === 4 ? "invalid_payload" : "" })),
  };
  const lost = await lostEntries({ query }, options);
  assert.deepEqual(inStreamOrder([...kept, ...lost]), sent);
  assert.deepEqual(await lostEntries({ query }, { ...options, losses: [] }), []);
  assert.deepEqual(await lostEntries({ query }, { ...options, fieldsOf: () => undefined }), []);
});

Deno.test("judge() finds an entry with two outcomes", () => {
  const evidence = correctStretch();
  expectOne({ ...evidence, malformed: [...evidence.malformed, { entryId: id(1), code: "invalid_fields" }] }, {
    kind: "twice",
    text: /both accepted and malformed/,
  });
  const duplicate = { notificationId: "00000000-0000-7000-8000-000000000000", entryId: id(2) };
  expectOne({ ...evidence, records: [...evidence.records, duplicate] }, { kind: "twice", text: /was accepted/ });
  expectOne({ ...evidence, records: [...evidence.records, evidence.records[0]!] }, {
    kind: "twice",
    text: /has 2 records/,
  });
});

Deno.test("judge() finds a wrong outcome", () => {
  const evidence = correctStretch();
  const others = evidence.malformed.filter(({ entryId }) => entryId !== id(3));
  expectOne({ ...evidence, malformed: [...others, { entryId: id(3), code: "invalid_payload" }] }, {
    kind: "wrong",
    text: /became invalid_payload, not idempotency_conflict/,
  });
  expectOne({ ...evidence, malformed: [...evidence.malformed, { entryId: "1-1", code: "invalid_payload" }] }, {
    kind: "wrong",
    text: /1-1, which is not in the stream/,
  });
});

Deno.test("judge() finds a notification under another id", () => {
  const evidence = correctStretch();
  const [record, ...records] = evidence.records;
  const breaches = judge({ ...evidence, records: [{ ...record!, notificationId: "other" }, ...records] }).breaches;
  assert.match(breaches[0]!.text, /is other, not/);
});

Deno.test("judge() finds an event that was published twice", () => {
  const evidence = correctStretch();
  const [event] = evidence.outbound;
  expectOne({ ...evidence, outbound: [...evidence.outbound, { ...event!, entryId: "9-9" }] }, {
    kind: "twice",
    text: /was published as 5-1 and 9-9/,
  });
});

Deno.test("judge() finds an event of an earlier stretch that is published again", () => {
  const evidence = correctStretch();
  const old: OutboundFact = { ...evidence.outbound[0]!, deliveryId: "old/push:user:user-1", entryId: "9-9" };
  const earlier = { ...evidence.earlier, deliveries: new Set([old.deliveryId]) };
  expectOne({ ...evidence, earlier, outbound: [...evidence.outbound, old] }, {
    kind: "twice",
    text: /published again/,
  });
  expectOne({ ...evidence, outbound: [...evidence.outbound, old] }, { kind: "wrong", text: /no route asks for it/ });
});

Deno.test("judge() finds a published route whose entry is not in the stream or has another id", () => {
  const evidence = correctStretch();
  expectOne({ ...evidence, outbound: evidence.outbound.slice(1) }, {
    kind: "lost",
    text: /which is not in the stream/,
  });
  const [event, ...rest] = evidence.outbound;
  expectOne({ ...evidence, outbound: [{ ...event!, entryId: "9-9" }, ...rest] }, { kind: "wrong", text: /names 5-1/ });
});

Deno.test("judge() finds an event with another content", () => {
  const evidence = correctStretch();
  const [event, ...rest] = evidence.outbound;
  expectOne({ ...evidence, outbound: [{ ...event!, to: "user-2" }, ...rest] }, {
    kind: "wrong",
    text: /went to user-2/,
  });
  expectOne({ ...evidence, outbound: [{ ...event!, payload: "{}" }, ...rest] }, { kind: "wrong", text: /payload/ });
});

Deno.test("judge() finds a missing route and an additional one", () => {
  const evidence = correctStretch();
  const [route, ...routes] = evidence.routes;
  assert.equal(route?.routeId, "push:user:user-1");
  expectOne({ ...evidence, routes, outbound: evidence.outbound.slice(1) }, { kind: "lost", text: /has no route/ });
  const extra = { ...route, routeId: "push:user:user-9" };
  expectOne({ ...evidence, routes: [...evidence.routes, extra] }, { kind: "wrong", text: /a route of no intent/ });
  const stray = { ...route, notificationId: "no-such-record" };
  expectOne({ ...evidence, routes: [...evidence.routes, stray] }, { kind: "wrong", text: /which has no record/ });
});

Deno.test("judge() finds a stuck route", () => {
  const evidence = correctStretch();
  for (const status of ["pending", "failed"]) {
    const routes = changeFirst(evidence.routes, { status, publishedEntryId: "" });
    expectOne({ ...evidence, routes, outbound: evidence.outbound.slice(1) }, { kind: "lost", text: /is stuck as/ });
  }
});

Deno.test("judge() finds a wrongly skipped route", () => {
  const evidence = correctStretch();
  const routes = evidence.routes.map((route) => ({ ...route, classification: "" }));
  expectOne({ ...evidence, routes }, { kind: "wrong", text: /not skipped recipient_email_missing/ });
});

Deno.test("judge() finds a false dead letter, and allows a dead letter if the stream refused entries", () => {
  const evidence = correctStretch();
  const classification = "gateway_stream_publish_failed";
  const letter = { status: "dead_letter", attempts: 3, classification, publishedEntryId: "" };
  const routes = changeFirst(evidence.routes, letter);
  const { notificationId, routeId } = routes[0]!;
  const given = {
    ...evidence,
    routes,
    outbound: evidence.outbound.slice(1),
    deadLetters: [{ notificationId, routeId }],
  };
  expectOne(given, { kind: "false dead letter", text: /push:user:user-1/ });
  const window = { channel: "push", fromMs: FIRST_MS, toMs: FIRST_MS + 1000 } as const;
  assert.deepEqual(judge({ ...given, refusals: [window] }).breaches, []);
  const early = changeFirst(routes, { attempts: 2 });
  expectOne({ ...given, refusals: [window], routes: early }, { kind: "false dead letter", text: /after 2 attempts/ });
  const other = changeFirst(routes, { classification: "payload_encoding_failed" });
  expectOne({ ...given, refusals: [window], routes: other }, { kind: "false dead letter", text: /payload_encoding/ });
  expectOne({ ...given, refusals: [{ ...window, channel: "email" }] }, { kind: "false dead letter", text: /push/ });
  expectOne({ ...given, refusals: [window], deadLetters: [] }, { kind: "wrong", text: /0 rows in dead_letters/ });
  expectOne({ ...evidence, deadLetters: given.deadLetters }, { kind: "wrong", text: /published with a dead letter/ });
});

Deno.test("judge() finds a dead letter that was published, also if the stream refused entries", () => {
  const evidence = correctStretch();
  const classification = "gateway_stream_publish_failed";
  const routes = changeFirst(evidence.routes, {
    ...{ status: "dead_letter", attempts: 3, classification, publishedEntryId: "" },
  });
  const { notificationId, routeId } = routes[0]!;
  const refusals = [{ channel: "push", fromMs: FIRST_MS, toMs: FIRST_MS + 1000 }] as const;
  expectOne({ ...evidence, routes, refusals, deadLetters: [{ notificationId, routeId }] }, {
    kind: "false dead letter",
    text: /is dead_letter but published as 5-1/,
  });
});

Deno.test("judge() compares the number of attempts with the instances' settings", () => {
  const evidence = correctStretch();
  const routes = changeFirst(evidence.routes, { maxAttempts: 1 });
  expectOne({ ...evidence, routes }, { kind: "wrong", text: /may have 1 attempts, not 3/ });
  const attemptLimits = { push: [3, 1], email: [7] };
  assert.deepEqual(judge({ ...evidence, routes, attemptLimits }).breaches, []);
  const refusals = [{ channel: "push", fromMs: FIRST_MS, toMs: FIRST_MS + 1000 }] as const;
  const twice = changeFirst(routes, { attempts: 2 });
  expectOne({ ...evidence, routes: twice, attemptLimits, refusals }, { kind: "wrong", text: /at attempt 2/ });
});

Deno.test("judge() finds an attempt that was used up during an outage", () => {
  const evidence = correctStretch();
  const routes = changeFirst(evidence.routes, { attempts: 2 });
  expectOne({ ...evidence, routes }, { kind: "wrong", text: /at attempt 2/ });
});

Deno.test("judge() allows up to the maximum number of attempts if the stream refused entries", () => {
  const evidence = {
    ...correctStretch(),
    refusals: [{ channel: "push", fromMs: FIRST_MS, toMs: FIRST_MS + 1000 }] as const,
  };
  assert.deepEqual(judge({ ...evidence, routes: changeFirst(evidence.routes, { attempts: 3 }) }).breaches, []);
  expectOne({ ...evidence, routes: changeFirst(evidence.routes, { attempts: 4 }) }, {
    kind: "wrong",
    text: /at attempt 4/,
  });
});

Deno.test("judge() checks only deliveries if records may be deleted", () => {
  const evidence = { ...correctStretch(), records: [], routes: [], finishedMayBeDeleted: true };
  assert.deepEqual(judge(evidence).breaches, []);
  expectOne({ ...evidence, outbound: evidence.outbound.slice(1) }, { kind: "lost", text: /never published/ });
  expectOne({ ...evidence, outbound: [...evidence.outbound, { ...evidence.outbound[0]!, entryId: "9-9" }] }, {
    kind: "twice",
    text: /was published 2 times/,
  });
  const malformed = [...evidence.malformed, { entryId: id(1), code: "invalid_fields" }];
  expectOne({ ...evidence, malformed }, { kind: "twice", text: /published and malformed/ });
});

Deno.test("judge() recognises keys of earlier stretches", () => {
  const evidence = correctStretch();
  const { keys } = judge(evidence);
  const again = sentEntry(`${FIRST_MS}-50`, fields({ number: 1 }));
  const none = { records: [], routes: [], malformed: [], outbound: [], acknowledged: [] };
  const later = { ...evidence, ...none, sent: [again], earlier: { keys, deliveries: new Set<string>() } };
  assert.deepEqual(judge(later).breaches, []);
  const withoutKeys = { ...later, earlier: { keys: new Map<string, string>(), deliveries: new Set<string>() } };
  expectOne(withoutKeys, { kind: "lost", text: /has no record/ });
});

Deno.test("judgeUnchanged() finds changes of a stretch after it was judged", () => {
  const before = correctStretch();
  const isKept = () => false;
  assert.deepEqual(judgeUnchanged({ before, now: correctStretch() }, isKept), []);
  const routes = changeFirst(before.routes, { publishedEntryId: "9-9" });
  assert.deepEqual(judgeUnchanged({ before, now: { ...before, routes } }, isKept).map(({ kind }) => kind), [
    "wrong",
    "lost",
  ]);
  const deadLetters = [{ notificationId: before.records[0]!.notificationId, routeId: "push:user:user-1" }];
  const [late] = judgeUnchanged({ before, now: { ...before, deadLetters } }, isKept);
  assert.match(late!.text, /deadLetters has/);
  const now = { ...before, malformed: before.malformed.slice(1), records: before.records.slice(1) };
  assert.equal(judgeUnchanged({ before, now }, isKept).length, 2);
  assert.deepEqual(judgeUnchanged({ before, now }, (ms) => ms <= FIRST_MS + 3), []);
  assert.equal(judgeUnchanged({ before, now }, (ms) => ms < FIRST_MS + 3).length, 1);
});

Deno.test("judgeOffset() requires the row and the copy to be at the last entry with the right ordinal", () => {
  const offset = { entryId: "5-1", entriesRead: 10 };
  const right = { row: offset, copy: offset, lastEntryId: "5-1", entriesAdded: 10 };
  assert.deepEqual(judgeOffset(right), []);
  assert.equal(judgeOffset({ ...right, row: { ...offset, entryId: "5-0" } }).length, 1);
  assert.equal(judgeOffset({ ...right, copy: undefined }).length, 1);
  assert.equal(judgeOffset({ ...right, row: { ...offset, entriesRead: 9 } }).length, 1);
});

Deno.test("sentEntry() calculates the notification id according to the contract", () => {
  const { parsed } = sentEntry(id(1), fields({ number: 1 }));
  assert.ok(parsed.kind === "intent");
  assert.match(parsed.notificationId, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(notificationMs(parsed.notificationId), FIRST_MS + 1);
});

function expectOne(evidence: Evidence, { kind, text }: { kind: Breach["kind"]; text: RegExp }): void {
  const { breaches } = judge(evidence);
  assert.deepEqual(breaches.map((breach) => breach.kind), [kind], JSON.stringify(breaches));
  assert.match(breaches[0]!.text, text);
}

function pairs(values: readonly string[]): Fields {
  return Array.from({ length: values.length / 2 }, (_, at) => [values[2 * at]!, values[2 * at + 1]!] as const);
}

function id(entry: number): string {
  return `${FIRST_MS + entry}-0`;
}

function fields(
  { number, to = ["user-1"], failure = "", payload = '{"n":1}' }: {
    number: number;
    to?: readonly string[];
    failure?: string;
    payload?: string;
  },
): string[] {
  return Object.entries({
    notification_type: "game.turn.ready",
    producer: "game-master",
    audience_kind: "user",
    recipient_user_ids_json: JSON.stringify(to),
    idempotency_key: `key-${to[0]}`,
    payload_json: payload,
    chaos_number: String(number),
    chaos_failure: failure,
  }).flat();
}

/**
 * The entries: one accepted, its duplicate, its conflict, one malformed, one accepted without an address, one with an
 * unknown recipient.
 */
function correctStretch(): Evidence {
  const sent: SentEntry[] = [
    sentEntry(id(1), fields({ number: 1 })),
    sentEntry(id(2), fields({ number: 2 })),
    sentEntry(id(3), fields({ number: 3, payload: '{"n":2}' })),
    sentEntry(id(4), fields({ number: 4, failure: "invalid_payload" })),
    sentEntry(id(5), fields({ number: 5, to: ["user-7"] })),
    sentEntry(id(6), fields({ number: 6, to: ["unknown"] })),
  ];
  const [first, second] = [sent[0]!, sent[4]!].map(({ parsed }) =>
    parsed.kind === "intent" ? parsed.notificationId : ""
  );
  const outbound: OutboundFact[] = [
    event(`${first}/push:user:user-1`, { channel: "push", entryId: "5-1", to: "user-1" }),
    event(`${first}/email:user:user-1`, { channel: "email", entryId: "5-2", to: "user-1@example.com" }),
    event(`${second}/push:user:user-7`, { channel: "push", entryId: "5-3", to: "user-7" }),
  ];
  return {
    sent,
    acknowledged: sent.map(({ number, entryId }) => [number, entryId] as const),
    records: [{ notificationId: first!, entryId: id(1) }, { notificationId: second!, entryId: id(5) }],
    malformed: [
      { entryId: id(3), code: "idempotency_conflict" },
      { entryId: id(4), code: "invalid_payload" },
      { entryId: id(6), code: "recipient_not_found" },
    ],
    routes: [
      ...outbound.map(({ deliveryId, entryId }) =>
        route(deliveryId, { status: "published", publishedEntryId: entryId })
      ),
      route(`${second}/email:user:user-7`, {
        status: "skipped",
        classification: "recipient_email_missing",
        attempts: 0,
      }),
    ],
    ...{
      deadLetters: [],
      refusals: [],
      losses: [],
      attemptLimits: { push: [3], email: [7] },
      finishedMayBeDeleted: false,
    },
    outbound,
    earlier: { keys: new Map(), deliveries: new Set() },
  };
}

function event(deliveryId: string, fact: Pick<OutboundFact, "channel" | "entryId" | "to">): OutboundFact {
  return { ...fact, deliveryId, payload: '{"n":1}' };
}

function route(deliveryId: string, fact: Partial<RouteFact>): RouteFact {
  const [notificationId, routeId] = deliveryId.split("/") as [string, string];
  const times = { createdAtMs: FIRST_MS + 10, updatedAtMs: FIRST_MS + 20 };
  return {
    ...{ notificationId, routeId, status: "", attempts: 1, classification: "", publishedEntryId: "" },
    maxAttempts: routeId.startsWith("push:") ? 3 : 7,
    ...times,
    ...fact,
  };
}

function changeFirst(routes: readonly RouteFact[], changes: Partial<RouteFact>): RouteFact[] {
  return routes.map((route, index) => index === 0 ? { ...route, ...changes } : route);
}

function routesWithout(entry: number): RouteFact[] {
  return correctStretch().routes.filter(({ notificationId }) => notificationMs(notificationId) !== FIRST_MS + entry);
}
