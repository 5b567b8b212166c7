/** Which messages of the SDK reach our log. */
import assert from "node:assert/strict";
import { captureLog } from "../../tests/support/captured_log.ts";
import { diagnosticsLogger } from "./diagnostics.ts";

Deno.test("diagnosticsLogger() logs a failing export once, and each other warning once", async () => {
  await using log = captureLog("info");
  const diagnostics = diagnosticsLogger();
  const refused = JSON.stringify({ stack: "Error: x\n  at y", message: 'connect "127.0.0.1:4318" refused', code: "E" });
  for (let n = 0; n < 30; n++) {
    diagnostics.error(refused);
    diagnostics.error("PeriodicExportingMetricReader: metrics export failed", new Error(`${n}`));
    diagnostics.warn("Dropping extra attributes.");
    diagnostics.info("Export failed after maximum retry attempts");
    diagnostics.verbose("details");
  }
  for (let n = 0; n < 100; n++) diagnostics.warn(`Dropped ${n} spans`);
  const lines = await log.lines();
  assert.deepEqual(
    lines.slice(0, 2).map(({ level, logger, message, reason, warning }) => [level, logger, message, reason ?? warning]),
    [
      [
        "warn",
        "open_telemetry",
        "telemetry can't be exported; this is logged once",
        'connect "127.0.0.1:4318" refused',
      ],
      ["warn", "open_telemetry", "a warning of OpenTelemetry", "Dropping extra attributes."],
    ],
  );
  assert.ok(lines.length < 25, `${lines.length}`);
});
