/**
 * The text of an address → its parts, or `undefined` if the text is not an address. Pure.
 *
 * Network addresses are `host:port` with IPv6 in brackets; an e-mail address is one plain address, in lower case.
 * Nothing is looked up: a valid name need not exist.
 */
import { isIPv4, isIPv6 } from "node:net";

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface ListenAddress {
  /** Empty: all interfaces. */
  readonly hostname: string;
  readonly port: number;
}

/** `host:port` to connect to; an IPv6 host is returned without its brackets. */
export function parseHostPort(text: string): HostPort | undefined {
  const parts = split(text);
  return parts !== undefined && parts.port > 0 && isHost(parts) ? { host: parts.host, port: parts.port } : undefined;
}

/** `host:port` to listen on. Without a host: all interfaces, as in Go. With port 0 the system chooses a free port. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const parts = split(text);
  if (parts === undefined) return undefined;
  if (parts.host === "" && !parts.bracketed) return { hostname: "", port: parts.port };
  return isHost(parts) ? { hostname: parts.host, port: parts.port } : undefined;
}

/** The longest e-mail address that is accepted. */
const maxEmailCodePoints = 320;

// No white space, nothing invisible (\p{C}: control, format, lone surrogates), none of the characters that a display
// name, a comment, a quoted part or a list would need.
const plainEmail = /^[^\s\p{C}@<>()[\]:;,"\\]+@(?<domain>[^\s\p{C}@<>()[\]:;,"\\]+)$/u;
const domainLabel = /^[\p{L}\p{N}\p{M}](?:[\p{L}\p{N}\p{M}-]*[\p{L}\p{N}\p{M}])?$/u;

/** One plain e-mail address (no display name, no white space), lower-cased. */
export function parseEmailAddress(text: string): string | undefined {
  const domain = plainEmail.exec(text)?.groups?.domain;
  if (domain === undefined || !domain.split(".").every((label) => domainLabel.test(label))) return undefined;
  const address = text.toLowerCase();
  return [...address].length <= maxEmailCodePoints ? address : undefined;
}

interface Parts extends HostPort {
  readonly bracketed: boolean;
}

function split(text: string): Parts | undefined {
  const match = /^(?:\[(?<ipv6>[^[\]]*)\]|(?<name>[^:[\]]*)):(?<port>0|[1-9]\d{0,4})$/.exec(text);
  if (match === null) return undefined;
  const { ipv6, name = "", port } = match.groups ?? {};
  if (Number(port) > 65_535) return undefined;
  return { host: ipv6 ?? name, port: Number(port), bracketed: ipv6 !== undefined };
}

const hostLabel = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;

function isHost({ host, bracketed }: Parts): boolean {
  if (bracketed) return isIPv6(host);
  const labels = host.replace(/\.$/, "").split(".");
  // A last label of digits can only be an IPv4 address (https://url.spec.whatwg.org/#ends-in-a-number-checker).
  if (/^\d+$/.test(labels.at(-1) ?? "")) return isIPv4(host);
  return host.length <= 253 && labels.every((label) => hostLabel.test(label));
}
