/**
 * An answer of the User Service → what it means for the user: found, permanently refused, or unavailable.
 *
 * Pure; docs/contract.md, section 3. An answer that is not exactly as agreed counts as unavailable, so that a misrouted
 * request or a broken proxy can't make an intent malformed.
 */

export interface FoundUser {
  readonly userId: string;
  /** Empty if there is no usable one; the same holds for the language. */
  readonly email: string;
  readonly language: string;
}

export type UserAnswer =
  | { readonly kind: "found"; readonly user: FoundUser }
  | { readonly kind: "not_found" }
  | { readonly kind: "invalid"; readonly message: string }
  | { readonly kind: "unavailable"; readonly reason: string; readonly retryAfterMs?: number };

const MAX_EMAIL_CHARACTERS = 320;
/** A language tag in the form of BCP 47. */
const LANGUAGE_TAG = /^(?=.{2,35}$)[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/;
const UNUSABLE_IN_EMAIL = /[\s\p{White_Space}\0]/u;

export function userAnswer(userId: string, status: number, body: string): UserAnswer {
  if (status === 200) return foundUser(userId, parseObject(body));
  const refusesForGood = [400, 404, 410, 422].includes(status) && parseObject(body)?.error !== undefined;
  if (!refusesForGood) return { kind: "unavailable", reason: `it answered with status ${status}` };
  return status === 404
    ? { kind: "not_found" }
    : { kind: "invalid", message: `the User Service refused it with status ${status}` };
}

function foundUser(userId: string, body: Record<string, unknown> | undefined): UserAnswer {
  const otherShape: UserAnswer = { kind: "unavailable", reason: "its answer has another shape" };
  const user = asObject(body?.user);
  if (user === undefined) return otherShape;
  if (user.user_id !== userId) return { kind: "unavailable", reason: aboutAnother(userId, user.user_id) };
  const { email = "", preferred_language: language = "" } = user;
  if (!isTextOrNull(email) || !isTextOrNull(language)) return otherShape;
  return { kind: "found", user: { userId, email: usableEmail(email ?? ""), language: usableLanguage(language ?? "") } };
}

/** Ids are compared exactly: if a service finds `u1` for `U1`, one person would have two ids. */
function aboutAnother(userId: string, answered: unknown): string {
  if (typeof answered !== "string" || folded(answered) !== folded(userId)) return "it answered about another user";
  return `it answered about ${JSON.stringify(answered)}, which is another spelling of ${JSON.stringify(userId)}; ` +
    "ids are compared exactly";
}

/** Without surrounding white space, case, and the differences between Unicode forms of the same character. */
function folded(userId: string): string {
  return userId.normalize("NFKC").trim().toLowerCase();
}

function usableEmail(email: string): string {
  const usable = email.includes("@") && [...email].length <= MAX_EMAIL_CHARACTERS && email.isWellFormed() &&
    !UNUSABLE_IN_EMAIL.test(email);
  return usable ? email : "";
}

function usableLanguage(language: string): string {
  return LANGUAGE_TAG.test(language) ? language : "";
}

function isTextOrNull(value: unknown): value is string | null {
  return typeof value === "string" || value === null;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    return asObject(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? value as Record<string, unknown>
    : undefined;
}

/** `Retry-After` (RFC 9110: seconds or a date) in milliseconds, at most a minute; `undefined` if it can't be read. */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  const text = header.trim();
  const milliseconds = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(milliseconds) ? undefined : Math.min(Math.max(milliseconds, 0), 60_000);
}
