/** Why an intent is refused, by a code of the service's own. */
import type { MalformedCode } from "../notification/intent.ts";

/** The intent is one that the service would record as malformed. */
export class IntentRefused extends Error {
  override readonly name = "IntentRefused";
  readonly code: MalformedCode;

  constructor(code: MalformedCode, message: string) {
    super(message);
    this.code = code;
  }
}
