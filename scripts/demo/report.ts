/**
 * The demo's intents, their entry ids and their outcomes → sections of text for the terminal; a number `#` means the
 * same intent in all sections.
 */
import { type DemoIntent, INTENTS } from "./demo_intents.ts";
import { describe, type Outcome, outcomeOf } from "./outcome.ts";
import { type Cell, list, paint, table, wrap } from "./table.ts";

/** The intent whose outbound entries are shown completely: the one with every optional field. */
const SHOWN_WHOLE = 3;

export function heading(title: string, note: string): string {
  return `\n${paint("bold", title)}  ${paint("dim", note)}`;
}

export function report(entryIds: readonly string[], outcome: Outcome): string[] {
  return [
    ...reportIntents(entryIds, outcome),
    ...reportClientEvents(entryIds, outcome),
    ...reportMailCommands(entryIds, outcome),
    ...reportRoutes(entryIds, outcome),
    ...reportMalformed(entryIds, outcome),
  ];
}

function reportIntents(entryIds: readonly string[], outcome: Outcome): string[] {
  const rows = INTENTS.map((intent, index): Cell[] => {
    const actual = outcomeOf(entryIds[index] ?? "", outcome);
    const good = describe(actual) === describe(intent.expected);
    const mark: Cell = good ? ["green", "✓"] : ["red", "✗"];
    const shown: Cell = actual.kind === "malformed" ? ["yellow", actual.code] : ["green", actual.kind];
    return [mark, String(index + 1), intent.type, recipients(intent), ["dim", intent.note], shown];
  });
  return [
    heading("Intents", `${rows.length} entries in notification:intents; ✓ where the outcome is the expected one`),
    ...table(["", "#", "type", "to", "", "outcome"], rows),
  ];
}

function reportClientEvents(entryIds: readonly string[], { clientEvents, routes }: Outcome): string[] {
  const events = clientEvents.map(({ fields }) => ({ fields, number: numberOf(fields["event_id"], entryIds, routes) }));
  const rows = events.map(({ number, fields }): Cell[] => [
    ["dim", String(number)],
    fields["user_id"] ?? "",
    fields["event_type"] ?? "",
    ["dim", fields["payload_bytes"] ?? ""],
  ]);
  return [
    heading("Client events", `${rows.length} entries in gateway:client-events, for the Gateway to push`),
    ...table(["#", "user_id", "event_type", "payload_bytes"], byNumber(rows)),
    ...whole(events),
  ];
}

function reportMailCommands(entryIds: readonly string[], { mailCommands, routes }: Outcome): string[] {
  const commands = mailCommands.map(({ fields, payload }) => {
    return { fields, payload, number: numberOf(fields["delivery_id"], entryIds, routes) };
  });
  const rows = commands.map(({ number, fields, payload }): Cell[] => [
    ["dim", String(number)],
    payload.to.join(", "),
    payload.template_id,
    payload.locale,
    ["dim", /"variables":\s*(.*)}$/s.exec(fields["payload_json"] ?? "")?.[1] ?? ""],
  ]);
  return [
    heading("Mail commands", `${rows.length} entries in mail:delivery_commands, for the Mail Service to send`),
    ...table(["#", "to", "template_id", "locale", "variables"], byNumber(rows)),
    ...whole(commands),
  ];
}

function reportRoutes(entryIds: readonly string[], { routes }: Outcome): string[] {
  const rows = routes.map((route): Cell[] => [
    ["dim", String(entryIds.indexOf(route.stream_entry_id) + 1)],
    route.route_id,
    [route.status === "published" ? "green" : "yellow", route.status],
    String(route.attempt_count),
    ["dim", route.published_entry_id ?? route.last_error_classification ?? ""],
  ]);
  return [
    heading("Routes", `${rows.length} rows in PostgreSQL, notification.routes`),
    ...table(["#", "route_id", "status", "attempts", "published as, or why not"], byNumber(rows)),
  ];
}

function reportMalformed(entryIds: readonly string[], { malformed }: Outcome): string[] {
  const rows = malformed
    .map((row) => ({ ...row, number: entryIds.indexOf(row.stream_entry_id) + 1 }))
    .sort((a, b) => a.number - b.number);
  return [
    heading("Malformed intents", `${rows.length} rows in PostgreSQL, notification.malformed_intents`),
    ...rows.flatMap(({ number, failure_code, failure_message }) => [
      `  ${paint("dim", String(number).padEnd(2))}  ${paint("yellow", failure_code)}`,
      ...wrap(failure_message, 6),
    ]),
  ];
}

/** The number of the intent of an outbound entry with the id `<notification_id>/<route_id>`; 0 if there is none. */
function numberOf(id = "", entryIds: readonly string[], routes: Outcome["routes"]): number {
  const route = routes.find((route) => id === `${route.notification_id}/${route.route_id}`);
  return route === undefined ? 0 : entryIds.indexOf(route.stream_entry_id) + 1;
}

function byNumber(rows: readonly Cell[][]): Cell[][] {
  return rows.toSorted((a, b) => Number(a[0]?.[1]) - Number(b[0]?.[1]));
}

function whole(entries: readonly { number: number; fields: Readonly<Record<string, string>> }[]): string[] {
  const entry = entries.find(({ number }) => number === SHOWN_WHOLE);
  if (entry === undefined) return [];
  return [paint("dim", `  Number ${SHOWN_WHOLE} in full:`), ...list(Object.entries(entry.fields))];
}

function recipients({ to }: DemoIntent): string {
  return to === "administrators" ? "admins" : to.join(", ");
}
