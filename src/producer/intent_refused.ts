/** Why an intent is refused, by one of the service's own codes. */
import type { MalformedCode } from "../notification/intent.ts";

/** The service would record the intent as malformed. */
export class IntentRefused extends Error {
  override readonly name = "IntentRefused";
  readonly code: MalformedCode;

  constructor(code: MalformedCode, message: string) {
    super(message);
    this.code = code;
  }
}
