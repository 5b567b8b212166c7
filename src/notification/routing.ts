/** An accepted intent and its recipients → its routes. Pure; docs/contract.md, section 5. */
import type { AudienceKind, CatalogType } from "./catalog.ts";
import type { NewRoute } from "./route.ts";

/** A user from the User Service; unknown or unusable values are empty. */
export interface User {
  readonly userId: string;
  readonly email: string;
  readonly language: string;
}

export interface Addressees {
  readonly type: CatalogType;
  readonly audienceKind: AudienceKind;
  /** For `user`: all recipients. */
  readonly users: readonly User[];
  /** For `admin_email`: the addresses configured for the type. */
  readonly administratorEmails: readonly string[];
}

export function routesOf(addressees: Addressees): NewRoute[] {
  switch (addressees.audienceKind) {
    case "user":
      return userRoutes(addressees);
    case "admin_email":
      return administratorRoutes(addressees);
    default:
      return addressees.audienceKind satisfies never;
  }
}

function userRoutes({ type, users }: Addressees): NewRoute[] {
  const routes: NewRoute[] = [];
  const channels = type.audiences.user ?? [];
  for (const { userId, email, language } of users) {
    const recipient = `user:${userId}`;
    for (const channel of channels) {
      const recipientEmail = channel === "push" ? "" : email;
      const route: NewRoute = {
        routeId: `${channel}:${recipient}`,
        channel,
        recipient,
        recipientEmail,
        locale: language,
      };
      routes.push(channel === "email" && email === "" ? { ...route, skipped: "recipient_email_missing" } : route);
    }
  }
  return routes;
}

function administratorRoutes({ type, administratorEmails }: Addressees): NewRoute[] {
  if (administratorEmails.length === 0) {
    const recipient = `config:${type.name}`;
    return [{
      routeId: `email:${recipient}`,
      channel: "email",
      recipient,
      recipientEmail: "",
      locale: "",
      skipped: "admin_emails_not_configured",
    }];
  }
  return administratorEmails.map((address) => ({
    routeId: `email:address:${address}`,
    channel: "email",
    recipient: `email:${address}`,
    recipientEmail: address,
    locale: "",
  }));
}
