/** Intents → the fingerprints of the records that their keys have. */
import type pg from "pg";
import type { Intent } from "../notification/intent.ts";
import { packed, type PackedRow, returnedText, rows, text } from "../postgres/columns.ts";
import { statement } from "../postgres/statement.ts";
import { keyOf } from "./judge.ts";

const KEYS = rows<Intent>()({
  producer: text((intent) => intent.producer),
  idempotency_key: text((intent) => intent.idempotencyKey),
});

const FOUND = packed({
  producer: returnedText("producer"),
  idempotencyKey: returnedText("idempotency_key"),
  fingerprint: returnedText("encode(request_fingerprint, 'hex')"),
});

const SELECT_FINGERPRINTS = statement({ name: "select_fingerprints", takes: { wanted: KEYS } }, (p) => `
SELECT
    ${FOUND.list}
FROM ${p.wanted()}, LATERAL (
  SELECT request_fingerprint FROM notification.records AS record
  WHERE record.producer = wanted.producer AND record.idempotency_key = wanted.idempotency_key
  OFFSET 0
) AS record`);

/** Returns hexadecimal fingerprints by {@link keyOf}, only for keys that have a record. */
export async function selectFingerprints(
  client: Pick<pg.ClientBase, "query">,
  intents: readonly Intent[],
): Promise<Map<string, string>> {
  if (intents.length === 0) return new Map();
  const { rows } = await client.query<PackedRow>(SELECT_FINGERPRINTS({ wanted: intents }));
  return new Map(FOUND.unpack(rows[0]!).map((found) => [keyOf(found), found.fingerprint]));
}
