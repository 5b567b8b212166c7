/**
 * The OpenTelemetry SDK's messages about itself → few lines of our log: a failing export is logged once per process,
 * every other warning once. `OTEL_LOG_LEVEL` lets more through, as `debug` lines.
 *
 * The SDK's own logger would print to the console, line after line while a collector does not answer.
 */
import { diag, type DiagLogger, DiagLogLevel } from "@opentelemetry/api";
import { loggerOf } from "./logger.ts";

/** The logger's name; its lines are never exported, because a failing export would cause more exports. */
export const DIAGNOSTICS = "open_telemetry";
/** The maximum number of different warnings: an SDK that puts numbers into its warnings must not fill the log. */
const MAX_WARNINGS = 20;
const MAX_REASON = 300;

const LEVELS: Readonly<Record<string, DiagLogLevel>> = {
  info: DiagLogLevel.INFO,
  debug: DiagLogLevel.DEBUG,
  verbose: DiagLogLevel.VERBOSE,
  all: DiagLogLevel.ALL,
};

/**
 * @param level the value of `OTEL_LOG_LEVEL`; warnings and errors are always logged
 * @param advice what to check when exporting fails
 */
export function logDiagnostics(level: string | undefined, advice?: string): void {
  diag.setLogger(diagnosticsLogger(advice), {
    logLevel: LEVELS[level?.trim().toLowerCase() ?? ""] ?? DiagLogLevel.WARN,
    suppressOverrideMessage: true,
  });
}

/** Exported for its test. */
export function diagnosticsLogger(advice?: string): DiagLogger {
  const logger = loggerOf(DIAGNOSTICS);
  const reported = new Set<string>();
  let exportFailed = false;
  const detail = (message: string, ...more: unknown[]) => logger.debug(wordsOf(message, more));
  return {
    error(message, ...more) {
      const reason = wordsOf(message, more);
      if (exportFailed) return logger.debug("telemetry can't be exported", { reason });
      exportFailed = true;
      logger.warn("telemetry can't be exported; this is logged once", { reason, advice });
    },
    warn(message, ...more) {
      const warning = wordsOf(message, more);
      if (reported.has(warning) || reported.size === MAX_WARNINGS) return logger.debug(warning);
      reported.add(warning);
      logger.warn("a warning of OpenTelemetry", { warning });
    },
    info: detail,
    debug: detail,
    verbose: detail,
  };
}

/** The SDK passes an exception as JSON with its stack; only its message helps an operator. */
function wordsOf(message: string, more: readonly unknown[]): string {
  const texts = [message, ...more].filter((text) => typeof text === "string" || text instanceof Error).map((text) => {
    if (text instanceof Error) return text.message;
    const named = /"message":("(?:[^"\\]|\\.)*")/.exec(text as string)?.[1];
    return named === undefined ? text as string : JSON.parse(named) as string;
  });
  return texts.join(" ").slice(0, MAX_REASON);
}
