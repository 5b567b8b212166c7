// In: the demo's intents and what became of them. Out: the same as text for a person, section by section.

import { type DemoIntent, INTENTS } from "./demo_intents.ts";
import { describe, type Outcome, outcomeOf } from "./outcome.ts";
import { type Cell, paint, table, wrap } from "./table.ts";

export function heading(title: string, note: string): string {
  return `\n${paint("bold", title)}  ${paint("dim", note)}`;
}

export function reportIntents(entryIds: readonly string[], outcome: Outcome): string[] {
  const rows = INTENTS.map((intent, index): Cell[] => {
    const actual = outcomeOf(entryIds[index] ?? "", outcome);
    const good = describe(actual) === describe(intent.expected);
    const mark: Cell = good ? ["green", "✓"] : ["red", "✗"];
    const text = actual.kind === "malformed" ? actual.code : actual.kind;
    const shown: Cell = actual.kind === "accepted" ? ["green", text] : ["yellow", text];
    return [mark, String(index + 1), intent.type, recipients(intent), intent.note, shown];
  });
  return [
    heading("Intents", `${INTENTS.length} entries in notification:intents, and what became of each`),
    ...table(["", "#", "type", "to", "what it is", "outcome"], rows),
  ];
}

export function reportClientEvents({ clientEvents }: Outcome): string[] {
  const rows = clientEvents.map(({ entryId, fields }): Cell[] => [
    ["dim", entryId],
    fields["user_id"] ?? "",
    fields["event_type"] ?? "",
    fields["payload_bytes"] ?? "",
  ]);
  return [
    heading("Client events", `${rows.length} entries in gateway:client-events, for the Gateway to push`),
    ...table(["entry", "user_id", "event_type", "payload_bytes"], rows),
  ];
}

export function reportMailCommands({ mailCommands }: Outcome): string[] {
  const rows = mailCommands.map(({ entryId, payload }): Cell[] => [
    ["dim", entryId],
    payload.to.join(", "),
    payload.template_id,
    payload.locale,
    JSON.stringify(payload.variables),
  ]);
  return [
    heading("Mail commands", `${rows.length} entries in mail:delivery_commands, for the Mail Service to send`),
    ...table(["entry", "to", "template_id", "locale", "variables"], rows),
  ];
}

export function reportRoutes(entryIds: readonly string[], { routes }: Outcome): string[] {
  const rows = routes.map((route): Cell[] => [
    String(entryIds.indexOf(route.stream_entry_id) + 1),
    route.route_id,
    [route.status === "published" ? "green" : "yellow", route.status],
    String(route.attempt_count),
    ["dim", route.published_entry_id ?? route.last_error_classification ?? ""],
  ]);
  return [
    heading("Routes", `${rows.length} rows in PostgreSQL, notification.routes`),
    ...table(["#", "route_id", "status", "attempts", "published as, or why not"], rows),
  ];
}

export function reportMalformed(entryIds: readonly string[], { malformed }: Outcome): string[] {
  const lines = malformed.flatMap((row) => {
    const number = String(entryIds.indexOf(row.stream_entry_id) + 1).padStart(4);
    return [`${number}  ${paint("yellow", row.failure_code)}`, ...wrap(row.failure_message, 6)];
  });
  return [
    heading("Malformed intents", `${malformed.length} rows in PostgreSQL, notification.malformed_intents`),
    ...lines,
  ];
}

function recipients({ to }: DemoIntent): string {
  return to === "administrators" ? "administrators" : to.join(", ");
}
