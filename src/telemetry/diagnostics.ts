/**
 * What the OpenTelemetry SDK has to say about itself → our log, sparingly: that exporting fails is told once a process,
 * any other warning once in its words. `OTEL_LOG_LEVEL` lets more through, as `debug` lines.
 *
 * The SDK's own logger would print to the console, line after line for as long as a collector is away.
 */
import { diag, type DiagLogger, DiagLogLevel } from "@opentelemetry/api";
import { loggerOf } from "./logging.ts";

/** The logger's name; its lines are never exported, or a failing export would feed itself. */
export const DIAGNOSTICS = "open_telemetry";
/** Warnings in different words; an SDK that puts numbers into them must not fill the log either. */
const MAX_WARNINGS = 20;
const MAX_REASON = 300;

const LEVELS: Readonly<Record<string, DiagLogLevel>> = {
  info: DiagLogLevel.INFO,
  debug: DiagLogLevel.DEBUG,
  verbose: DiagLogLevel.VERBOSE,
  all: DiagLogLevel.ALL,
};

/**
 * @param level `OTEL_LOG_LEVEL`'s value; warnings and errors always come through
 * @param advice what to look at where exporting fails
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
  const told = new Set<string>();
  let exportFailed = false;
  const detail = (message: string, ...more: unknown[]) => logger.debug(wordsOf(message, more));
  return {
    error(message, ...more) {
      const reason = wordsOf(message, more);
      if (exportFailed) return logger.debug("telemetry can't be exported", { reason });
      exportFailed = true;
      logger.warn("telemetry can't be exported; this is not told again", { reason, advice });
    },
    warn(message, ...more) {
      const warning = wordsOf(message, more);
      if (told.has(warning) || told.size === MAX_WARNINGS) return logger.debug(warning);
      told.add(warning);
      logger.warn("a warning of OpenTelemetry", { warning });
    },
    info: detail,
    debug: detail,
    verbose: detail,
  };
}

/** An exception comes as JSON with its stack; its message is what an operator can use. */
function wordsOf(message: string, more: readonly unknown[]): string {
  const texts = [message, ...more].filter((text) => typeof text === "string" || text instanceof Error).map((text) => {
    if (text instanceof Error) return text.message;
    const named = /"message":("(?:[^"\\]|\\.)*")/.exec(text as string)?.[1];
    return named === undefined ? text as string : JSON.parse(named) as string;
  });
  return texts.join(" ").slice(0, MAX_REASON);
}
