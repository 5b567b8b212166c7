/** A result of `check` about one thing, and how it is shown. */
import { EXIT } from "../lifecycle/shutdown.ts";
import { paint, wrap } from "./terminal.ts";

export interface Finding {
  readonly name: string;
  readonly ok: boolean;
  /** The exit code of `run` because of this finding; 0 if it starts, even if it may not work. */
  readonly exitCode: number;
  readonly detail: string;
  /** What the operator can do, if something is wrong. */
  readonly advice: string;
}

export function good(name: string, detail: string): Finding {
  return { name, ok: true, exitCode: EXIT.ok, detail, advice: "" };
}

export function warn(name: string, detail: string, advice: string): Finding {
  return { name, ok: false, exitCode: EXIT.ok, detail, advice };
}

export function bad(name: string, detail: string, advice: string): Finding {
  return { name, ok: false, exitCode: EXIT.dependency, detail, advice };
}

export function refused(name: string, detail: string, advice = ""): Finding {
  return { name, ok: false, exitCode: EXIT.configuration, detail, advice };
}

export function findingLines({ name, ok, detail, advice }: Finding): string[] {
  const mark = ok ? paint("green", "✓") : paint("red", "✗");
  const [first = "", ...rest] = wrap(`${name}: ${detail}`, 4);
  const advices = advice === "" ? [] : wrap(`→ ${advice}`, 6).map((line) => paint("yellow", line));
  return [`  ${mark} ${first.trimStart()}`, ...rest, ...advices];
}
