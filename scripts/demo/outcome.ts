/**
 * A rig whose service has processed the demo's intents, and their entry ids → the outcome of each intent, read from
 * PostgreSQL and the outbound streams, and every difference from the expected outcome.
 *
 * The service's log is not used. An empty list of differences means that every route was published or skipped as
 * expected, exactly once and with the producer's unchanged text.
 */
import type { ClientEvent, MailCommand, Rig } from "../../tests/support/service_rig.ts";
import type { DemoIntent, Expected } from "./demo_intents.ts";

export interface Route {
  readonly notification_id: string;
  readonly stream_entry_id: string;
  readonly route_id: string;
  readonly channel: "push" | "email";
  readonly status: string;
  readonly attempt_count: number;
  readonly last_error_classification: string | null;
  readonly published_entry_id: string | null;
}

interface MalformedIntent {
  readonly stream_entry_id: string;
  readonly failure_code: string;
  readonly failure_message: string;
}

export interface Outcome {
  readonly routes: readonly Route[];
  readonly malformed: readonly MalformedIntent[];
  readonly clientEvents: readonly ClientEvent[];
  readonly mailCommands: readonly MailCommand[];
}

export async function readOutcome(rig: Rig): Promise<Outcome> {
  const routes = await rig.query<Route>(
    `SELECT notification_id, stream_entry_id, route_id, channel, status, attempt_count, last_error_classification,
            published_entry_id
       FROM notification.routes JOIN notification.records USING (notification_id)
      ORDER BY notification_id, channel DESC, route_id`,
  );
  const malformed = await rig.query<MalformedIntent>(
    `SELECT stream_entry_id, failure_code, failure_message FROM notification.malformed_intents ORDER BY recorded_at`,
  );
  return { routes, malformed, clientEvents: await rig.clientEvents(), mailCommands: await rig.mailCommands() };
}

/** Returns the outcome of the intent with this entry id, in the form of an expected outcome. */
export function outcomeOf(entryId: string, { routes, malformed }: Outcome): Expected {
  const failure = malformed.find((row) => row.stream_entry_id === entryId);
  if (failure !== undefined) return { kind: "malformed", code: failure.failure_code };
  const own = routes.filter((route) => route.stream_entry_id === entryId);
  if (own.length === 0) return { kind: "duplicate" };
  return {
    kind: "accepted",
    routes: Object.fromEntries(own.map(({ route_id, status }) => [route_id, status as "published"])),
  };
}

/** `accepted: email:user:ada published`, `duplicate`, `malformed: invalid_payload`; equal texts are equal outcomes. */
export function describe(outcome: Expected): string {
  switch (outcome.kind) {
    case "accepted": {
      const routes = Object.entries(outcome.routes).map(([id, end]) => `${id} ${end}`);
      return `accepted: ${routes.sort().join(", ")}`;
    }
    case "duplicate":
      return "duplicate";
    case "malformed":
      return `malformed: ${outcome.code}`;
    default:
      return outcome satisfies never;
  }
}

/** One line for each difference; `entryIds[i]` is the entry id of `intents[i]`. */
export function differences(intents: readonly DemoIntent[], entryIds: readonly string[], outcome: Outcome): string[] {
  const found: string[] = [];
  intents.forEach((intent, index) => {
    const expected = describe(intent.expected);
    const actual = describe(outcomeOf(entryIds[index] ?? "", outcome));
    if (actual !== expected) {
      found.push(`Intent ${index + 1} was expected as "${expected}" but came out as "${actual}"`);
    }
  });

  const payloads = new Map(intents.map((intent, index) => [entryIds[index] ?? "", intent.payload]));
  const sentOnce = (channel: string, sent: readonly { id: string | undefined; text: string | undefined }[]) => {
    for (const route of outcome.routes.filter((route) => route.channel === channel)) {
      const id = `${route.notification_id}/${route.route_id}`;
      const entries = sent.filter((entry) => entry.id === id);
      const wanted = route.status === "published" ? 1 : 0;
      if (entries.length !== wanted) found.push(`${id} has ${entries.length} outbound entries instead of ${wanted}`);
      const payload = payloads.get(route.stream_entry_id) ?? "";
      if (entries.some(({ text }) => !text?.includes(payload))) found.push(`${id} has not the producer's own payload`);
    }
    const routes = outcome.routes.filter((route) => route.channel === channel && route.status === "published").length;
    if (sent.length !== routes) {
      found.push(`${sent.length} entries for ${routes} published routes of the channel ${channel}`);
    }
  };
  sentOnce(
    "push",
    outcome.clientEvents.map(({ fields }) => ({ id: fields["event_id"], text: fields["payload_bytes"] })),
  );
  sentOnce(
    "email",
    outcome.mailCommands.map(({ fields }) => ({ id: fields["delivery_id"], text: fields["payload_json"] })),
  );
  return found;
}
