/**
 * The Containerfile passes a linter, and is valid for the validator of editors' Dockerfile support, which checks flags,
 * arguments and forms of every instruction; the linter checks only some of them.
 */
import assert from "node:assert/strict";
import dockerfilelint from "dockerfilelint";
import { validate, ValidationSeverity } from "dockerfile-utils";

const TEXT = Deno.readTextFileSync(new URL("../../Containerfile", import.meta.url));
const STRICT = {
  casePreference: ValidationSeverity.ERROR,
  emptyContinuationLine: ValidationSeverity.ERROR,
  instructionCmdMultiple: ValidationSeverity.ERROR,
  instructionEntrypointMultiple: ValidationSeverity.ERROR,
  instructionHealthcheckMultiple: ValidationSeverity.ERROR,
  instructionJSONInSingleQuotes: ValidationSeverity.ERROR,
  instructionWorkdirRelative: ValidationSeverity.ERROR,
  deprecatedMaintainer: ValidationSeverity.ERROR,
};

Deno.test("the linter finds nothing in the Containerfile", () => {
  assert.deepEqual(dockerfilelint.run(".", TEXT), []);
});

Deno.test("the Containerfile is valid", () => {
  assert.deepEqual(problemsOf(TEXT), []);
});

Deno.test("errors in a Containerfile are found", () => {
  const broken: Readonly<Record<string, (text: string) => string>> = {
    "an unknown instruction": (text) => text.replace(/^USER/m, "USR"),
    "an unknown flag": (text) => text.replace("--interval=", "--intervall="),
    "a copy to nowhere": (text) => text.replace(/^COPY.*$/m, "COPY dist/notification-service"),
    "a health check of no kind": (text) => text.replace(/^HEALTHCHECK.*$/m, "HEALTHCHECK notification-service"),
    "two entry points": (text) => `${text}\nENTRYPOINT ["/bin/sh"]\n`,
    "single quotes in JSON": (text) => text.replace(/^ENTRYPOINT.*$/m, "ENTRYPOINT ['notification-service']"),
    "a port that is none": (text) => text.replace(/^EXPOSE.*$/m, "EXPOSE http-ish/tcp"),
    "no base": (text) => text.replace(/^FROM.*$/m, ""),
  };
  for (const [what, breaking] of Object.entries(broken)) {
    assert.notEqual(breaking(TEXT), TEXT, what);
    assert.notDeepEqual(problemsOf(breaking(TEXT)), [], what);
  }
});

function problemsOf(text: string): string[] {
  return validate(text, STRICT).map(({ range, message }) => `line ${range.start.line + 1}: ${message}`);
}
