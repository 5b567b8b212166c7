/**
 * A password or DSN → an opaque value, which every way of printing (String(), templates, JSON, console.log, the inspect
 * functions of Deno and Node) shows as "[redacted]".
 *
 * Only reveal() returns the text, so that every use of a secret can be found by this word. A secret that was read from
 * a file can be read again.
 */

const redacted = "[redacted]";

export class Secret {
  #text: string;
  readonly #source: (() => string | undefined) | undefined;

  /** @param source returns the secret that its file contains now; undefined if the content is not of the right form */
  constructor(text: string, source?: () => string | undefined) {
    this.#text = text;
    this.#source = source;
  }

  /** Call this after a server has refused the secret: its file may contain a new one by now. Never throws. */
  readAgain(): void {
    this.#text = this.#source?.() ?? this.#text;
  }

  /** The secret itself: pass it to the client that needs it, never to a message. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return redacted;
  }

  toJSON(): string {
    return redacted;
  }

  [Symbol.toPrimitive](): string {
    return redacted;
  }

  [Symbol.for("Deno.customInspect")](): string {
    return redacted;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return redacted;
  }
}
