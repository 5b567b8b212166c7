/**
 * A password or DSN goes in, an opaque value comes out.
 * Whatever prints it (String(), templates, JSON, console.log, Deno and node inspect) gets "[redacted]"; only reveal()
 * gives the text, so every use of a secret can be found by that one word. One that came from a file can be read again.
 */

const redacted = "[redacted]";

export class Secret {
  #text: string;
  readonly #source: (() => string | undefined) | undefined;

  /** @param source what the secret's file holds now; undefined while that is no secret of the right form */
  constructor(text: string, source?: () => string | undefined) {
    this.#text = text;
    this.#source = source;
  }

  /** Call this after a server has refused the secret: a file may hold another one by now. Never throws. */
  readAgain(): void {
    this.#text = this.#source?.() ?? this.#text;
  }

  /** The secret itself: hand it to the client that needs it, never to a message. */
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
