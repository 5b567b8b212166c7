/**
 * The harness's own model of users, administrators and notification types, independent of the service's catalog.
 *
 * Whether a user exists, and with which address, is derived from the id, so the judge needs no look-up.
 */
import type { User } from "../servers/user_service.ts";

export type Channel = "push" | "email";

/** The expected outcome of a route. */
export interface ExpectedRoute {
  readonly routeId: string;
  readonly channel: Channel;
  /** The user id or the address that the outbound entry has to contain. */
  readonly to: string;
  /** The reason why the route has to be skipped; `undefined` for a route that has to be published. */
  readonly skipped?: string;
}

/** Short recipient lists are drawn from this many users. A user exists if its id is `user-` and a number. */
export const USERS = 4000;

export function userOf(id: string): User | undefined {
  const number = /^user-(\d+)$/.exec(id)?.[1];
  if (number === undefined) return undefined;
  const address = addressOf(id);
  return { email: address, preferred_language: ["en-US", "de", null][Number(number) % 3] ?? null };
}

function addressOf(id: string): string | null {
  return id.endsWith("7") ? null : `${id}@example.com`;
}

interface TypeModel {
  readonly producer: string;
  readonly channels: readonly Channel[];
  /** The members of the payload, without those that every payload has. */
  readonly members: Readonly<Record<string, string | number>>;
}

const GAME = { game_id: "g", game_name: "Nebula" };

export const USER_TYPES: Readonly<Record<string, TypeModel>> = {
  "game.turn.ready": { producer: "game-master", channels: ["push", "email"], members: { ...GAME, turn_number: 7 } },
  "lobby.invite.created": {
    producer: "game-lobby",
    channels: ["push", "email"],
    members: { ...GAME, inviter_user_id: "user-1", inviter_name: "Ada ☃" },
  },
  "lobby.invite.expired": {
    producer: "game-lobby",
    channels: ["email"],
    members: { ...GAME, invitee_user_id: "user-2", invitee_name: "Bruno" },
  },
  "notification.smoke_test": { producer: "notification-service", channels: ["push"], members: { note: "chaos" } },
};

const APPLICANT = { applicant_user_id: "user-3", applicant_name: "Chloe" };

export const ADMINISTRATOR_TYPES: Readonly<Record<string, TypeModel & { readonly addresses: readonly string[] }>> = {
  "lobby.application.submitted": {
    producer: "game-lobby",
    channels: ["email"],
    members: { ...GAME, ...APPLICANT },
    addresses: ["ops@example.com", "lobby@example.com"],
  },
  "game.generation_failed": {
    producer: "game-master",
    channels: ["email"],
    members: { ...GAME, failure_reason: "disk full" },
    addresses: ["ops@example.com"],
  },
  "geo.review_recommended": {
    producer: "geo-profile",
    channels: ["email"],
    members: { user_id: "user-1", observed_country: "AT", usual_country: "DE", review_reason: "new country" },
    addresses: [],
  },
};

/** The environment variables that configure the administrators' addresses. */
export const ADMINISTRATOR_VARIABLES: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(ADMINISTRATOR_TYPES).map(([type, { addresses }]) => [
    `NOTIFICATION_ADMIN_EMAILS_${type.toUpperCase().replaceAll(".", "_")}`,
    addresses.join(","),
  ]),
);

/** The routes for these recipients (docs/contract.md, section 5); `undefined` if one of the users does not exist. */
export function userRoutes(type: string, userIds: readonly string[]): ExpectedRoute[] | undefined {
  if (userIds.some((id) => userOf(id) === undefined)) return undefined;
  return [...new Set(userIds)].flatMap((id) =>
    USER_TYPES[type]!.channels.map((channel): ExpectedRoute => {
      const routeId = `${channel}:user:${id}`;
      if (channel === "push") return { routeId, channel, to: id };
      const address = addressOf(id);
      return address === null
        ? { routeId, channel, to: "", skipped: "recipient_email_missing" }
        : { routeId, channel, to: address };
    })
  );
}

export function administratorRoutes(type: string): ExpectedRoute[] {
  const { addresses } = ADMINISTRATOR_TYPES[type]!;
  if (addresses.length === 0) {
    return [{ routeId: `email:config:${type}`, channel: "email", to: "", skipped: "admin_emails_not_configured" }];
  }
  return addresses.map((to) => ({ routeId: `email:address:${to}`, channel: "email", to }));
}
