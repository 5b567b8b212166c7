/**
 * Nothing → the lines that are logged from now on, as objects, instead of standard output.
 *
 * After it is disposed of, nothing is logged, and no timer is left.
 */
import { type LogSettings, setUpLogging } from "../../src/telemetry/logging.ts";

type LogLine = Readonly<Record<string, unknown>>;

export interface CapturedLog {
  /** The lines logged so far. Ends the current second of the limiter. */
  lines(): Promise<LogLine[]>;
  /** Like {@link lines}, but each line only as `level message`. */
  messages(): Promise<string[]>;
  [Symbol.asyncDispose](): Promise<void>;
}

export function captureLog(level: LogSettings["level"] = "debug"): CapturedLog {
  let text = "";
  const decoder = new TextDecoder();
  const output = {
    write: (bytes: Uint8Array) => {
      text += decoder.decode(bytes, { stream: true });
      return Promise.resolve(bytes.length);
    },
  };
  const logging = setUpLogging({ level, format: "json" }, output);
  const lines = async () => {
    await logging.flush(5_000);
    return text.split("\n").slice(0, -1).map((line): LogLine => JSON.parse(line));
  };
  return {
    lines,
    messages: async () => (await lines()).map(({ level, message }) => `${level} ${message}`),
    [Symbol.asyncDispose]: async () => {
      await logging.flush(5_000);
      logging.stop();
    },
  };
}
