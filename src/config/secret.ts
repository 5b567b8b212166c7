// A password or DSN goes in, an opaque value comes out.
// Whatever prints it (String(), templates, JSON, console.log, Deno and node inspect) gets "[redacted]"; only
// reveal() gives the text, so every use of a secret can be found by that one word.

const redacted = "[redacted]";

export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
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
