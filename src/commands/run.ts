/** `run`: the service itself, until a signal or an error ends it. Every end flushes the log. */
import { readSupervisor } from "../config/supervisor.ts";
import { EXIT, Shutdown } from "../lifecycle/shutdown.ts";
import { Systemd } from "../lifecycle/systemd.ts";
import { describeDefect } from "../lifecycle/run_loop.ts";
import { runService } from "../service.ts";
import { loggerOf } from "../telemetry/logger.ts";
import { setUpLogging } from "../telemetry/logging.ts";
import { identityOf, startTelemetry } from "../telemetry/open_telemetry.ts";
import { authoritiesOf } from "../user_service/authorities.ts";
import { type Arguments, atMost, type Command, printError, type ProcessContext } from "./command.ts";
import { readSettings } from "./settings.ts";
import { VERSION } from "./version.ts";

export const command: Command = {
  usage: "[run]",
  help: `
Runs the service until SIGTERM or SIGINT. A second signal ends it at once.

Exit codes:
  0   orderly stop
  1   the shutdown ran past its bound, or a second signal
  69  a dependency or a migration failed at start-up
  70  an unexpected error
  78  the configuration was refused`,
  options: {},
  run,
};

/** The time for the last lines of a process that has no time left. */
const LAST_FLUSH_MS = 250;
/** The part of the shutdown's bound that is left for the end of the process. */
const END_MS = 50;

async function run(args: Arguments, { env }: ProcessContext): Promise<number> {
  atMost(args, 0);
  const settings = readSettings();
  if (settings.kind === "refused") {
    for (const line of [...settings.warnings, ...settings.problems]) printError(line);
    return EXIT.configuration;
  }

  const { config, catalog, warnings } = settings;
  const logging = setUpLogging(config.log);
  const logger = loggerOf("service");
  const exit = async (code: number, flushMs = LAST_FLUSH_MS): Promise<never> => {
    await logging.flush(flushMs);
    Deno.exit(code);
  };
  const fail = (error: unknown): Promise<never> => {
    logger.error("unexpected error", { reason: describeDefect(error) });
    return exit(EXIT.unexpected, config.process.shutdownTimeoutMs);
  };
  const unexpected = (event: ErrorEvent | PromiseRejectionEvent) => {
    event.preventDefault();
    fail(event instanceof ErrorEvent ? event.error : event.reason);
  };
  globalThis.addEventListener("error", unexpected);
  globalThis.addEventListener("unhandledrejection", unexpected);

  try {
    for (const warning of [...warnings, ...runtimeTelemetry(env)]) {
      logger.warn("questionable configuration", { warning });
    }
    const shutdown = new Shutdown({ boundMs: config.process.shutdownTimeoutMs, exit });
    const { instanceId, processId } = identityOf(env.get("OTEL_RESOURCE_ATTRIBUTES"));
    logger.info("starting", { version: VERSION, instance_id: instanceId });
    const telemetry = await startTelemetry(env, {
      serviceVersion: VERSION,
      instanceId,
      environment: config.process.environment,
    });
    logging.forward(telemetry.exportLog);
    const systemd = new Systemd({
      supervisor: readSupervisor(),
      onProblem: (reason) => logger.warn("the supervisor can't be notified", { reason }),
    });
    const authorities = () => authoritiesOf(env);
    const exitCode = await runService({ config, catalog, processId, telemetry, shutdown, systemd, authorities });
    await systemd.close();
    // A second signal and the bound end the process until here, also if the process was paused when the bound was over.
    if (shutdown.leftMs === 0) return await exit(EXIT.shutdownFailed);
    return await exit(exitCode, Math.max(0, shutdown.leftMs - END_MS));
  } catch (error) {
    return await fail(error);
  }
}

/** With OTEL_DENO, Deno sends spans and metrics of its own to the same collector. */
function runtimeTelemetry(env: ProcessContext["env"]): string[] {
  const isOn = ["true", "1"].includes(env.get("OTEL_DENO")?.trim().toLowerCase() ?? "");
  return isOn ? ["OTEL_DENO makes the runtime export telemetry of its own beside the service's: unset it"] : [];
}
