/** Back-pressure on the consumer: the wait for room in both channels, on a clock that only the test moves. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { claimedRoute } from "../../tests/support/examples.ts";
import { type Clock, systemClock } from "../clock.ts";
import { BIRTH_CLAIM_MS, type Channel, CHANNELS } from "../notification/route.ts";
import { Relay } from "./relay.ts";

/** Stands still until the test moves it, which ends the sleeps that are over. */
class StandingClock implements Clock {
  readonly now = systemClock.now;
  readonly random = systemClock.random;
  readonly #sleeps = new Set<{ readonly until: number; readonly end: () => void }>();
  #ms = 0;

  monotonic(): number {
    return this.#ms;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((end) => {
      this.#sleeps.add({ until: this.#ms + ms, end });
      signal?.addEventListener("abort", () => end(), { once: true });
    });
  }

  /** Resolves when everything that waited for this time has run. */
  async move(ms: number): Promise<void> {
    this.#ms += ms;
    for (const { until, end } of this.#sleeps) if (until <= this.#ms) end();
    await settled();
  }
}

async function settled(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 1));
}

function fill(relay: Relay, channel: Channel): void {
  const routes = Array.from({ length: 4_000 }, () => claimedRoute());
  relay.channels[channel].accepted.add({ takenAtMs: 0, takenAt: 0, lifeMs: BIRTH_CLAIM_MS, routes });
}

/** Waits for room; returns whether the wait is over. */
function roomOf(relay: Relay, signal: AbortSignal = new AbortController().signal): () => boolean {
  let isOver = false;
  relay.room(signal).then(() => isOver = true);
  return () => isOver;
}

Deno.test("room() resolves at once while both channels have room", async () => {
  const relay = new Relay(new StandingClock());
  const isOver = roomOf(relay);
  await settled();
  assert.ok(isOver());
});

for (const channel of CHANNELS) {
  Deno.test(`room() resolves after 1,000 ms if the ${channel} channel alone stays full`, async () => {
    const clock = new StandingClock();
    const relay = new Relay(clock);
    fill(relay, channel);
    const isOver = roomOf(relay);
    await settled();
    assert.ok(!isOver());
    await clock.move(999);
    assert.ok(!isOver());
    await clock.move(1);
    assert.ok(isOver());
  });

  Deno.test(`room() resolves as soon as a route of the full ${channel} channel is taken`, async () => {
    const clock = new StandingClock();
    const relay = new Relay(clock);
    fill(relay, channel);
    const isOver = roomOf(relay);
    await clock.move(10);
    assert.ok(!isOver());
    relay.channels[channel].accepted.take({ limit: 1, maxChars: Infinity });
    await settled();
    assert.ok(isOver());
  });
}

Deno.test("room() waits until both of two full channels have room", async () => {
  const relay = new Relay(new StandingClock());
  for (const channel of CHANNELS) fill(relay, channel);
  const isOver = roomOf(relay);
  relay.channels.push.accepted.take({ limit: 1, maxChars: Infinity });
  await settled();
  assert.ok(!isOver());
  relay.channels.email.accepted.take({ limit: 1, maxChars: Infinity });
  await settled();
  assert.ok(isOver());
});

Deno.test("room() resolves when the signal aborts, and leaves no listener behind", async () => {
  const relay = new Relay(new StandingClock());
  for (const channel of CHANNELS) fill(relay, channel);
  const stop = new AbortController();
  const isOver = roomOf(relay, stop.signal);
  await settled();
  assert.ok(!isOver());
  stop.abort();
  await settled();
  assert.ok(isOver());
  assert.equal(getEventListeners(stop.signal, "abort").length, 0);
});
