/** argv → command → exit code. Configuration is read here and nowhere else; every way out flushes the log. */
import denoJson from "./deno.json" with { type: "json" };
import { parseConfig } from "./src/config/config.ts";
import { catalogText, readEnvironment } from "./src/config/env.ts";
import { EXIT, Shutdown } from "./src/lifecycle/shutdown.ts";
import { administratorTypes, embeddedCatalog, loadCatalog } from "./src/notification/catalog.ts";
import { runService } from "./src/service.ts";
import { loggerOf, setUpLogging } from "./src/telemetry/logging.ts";
import { instanceIdOf, startTelemetry } from "./src/telemetry/open_telemetry.ts";

/** What a blocked output may cost the process on its way out. */
const LAST_FLUSH_MS = 250;

async function run(): Promise<number> {
  const environment = readEnvironment();
  const source = catalogText(environment);
  const loaded = source.kind === "file"
    ? loadCatalog(source.text)
    : source.kind === "embedded"
    ? { kind: "ok" as const, catalog: embeddedCatalog() }
    : { kind: "broken" as const, problems: [] };
  const parsed = parseConfig(environment, {
    administratorTypes: loaded.kind === "ok" ? administratorTypes(loaded.catalog) : undefined,
  });
  const catalogProblems = loaded.kind === "broken"
    ? loaded.problems.map((problem) => `NOTIFICATION_CATALOG_FILE: ${problem}`)
    : [];
  if (parsed.kind === "refused" || loaded.kind === "broken") {
    const problems = parsed.kind === "refused" ? parsed.problems : [];
    for (const line of [...parsed.warnings, ...problems, ...catalogProblems]) console.error(line);
    return EXIT.configuration;
  }

  const { config, warnings } = parsed;
  const logging = await setUpLogging(config.log);
  const logger = loggerOf("service");
  const exit = async (code: number): Promise<never> => {
    await logging.flush(LAST_FLUSH_MS);
    Deno.exit(code);
  };
  const unexpected = (event: ErrorEvent | PromiseRejectionEvent) => {
    event.preventDefault();
    const error = event instanceof ErrorEvent ? event.error : event.reason;
    logger.error("unexpected error", { reason: error instanceof Error ? error.stack ?? error.message : String(error) });
    exit(EXIT.unexpected);
  };
  globalThis.addEventListener("error", unexpected);
  globalThis.addEventListener("unhandledrejection", unexpected);

  for (const warning of warnings) logger.warn("questionable configuration", { warning });
  const shutdown = new Shutdown({ boundMs: config.process.shutdownTimeoutMs, exit });
  const instanceId = instanceIdOf(Deno.env.get("OTEL_RESOURCE_ATTRIBUTES"));
  logger.info("starting", { version: denoJson.version, instance_id: instanceId });
  const telemetry = await startTelemetry(Deno.env, {
    serviceVersion: denoJson.version,
    instanceId,
    environment: config.environment,
  });
  const exitCode = await runService({ config, catalog: loaded.catalog, instanceId, telemetry, shutdown });
  shutdown.finish();
  return await exit(exitCode);
}

if (import.meta.main) Deno.exit(await run());
