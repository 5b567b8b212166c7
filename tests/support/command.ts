/**
 * A rig (or the variables themselves) and a command line → the exit code and the output.
 *
 * It is the same program as the service, run once; standard output and standard error are separate.
 */
import assert from "node:assert/strict";
import { freePort } from "../../scripts/servers/free_port.ts";
import type { Rig } from "./service_rig.ts";
import { type Environment, type ServiceOptions, startService } from "./service_process.ts";

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function runProgram(
  env: Environment,
  args: readonly string[],
  options: ServiceOptions = {},
): Promise<Ran> {
  // `check` tries the probe's address, so it must differ from those of concurrent tests.
  const probe = { NOTIFICATION_INTERNAL_HTTP_ADDR: `127.0.0.1:${freePort()}` };
  await using service = await startService({ ...probe, ...env }, { ...options, args });
  const { code } = await service.ended;
  return { code, stdout: service.stdout, stderr: service.stderr };
}

export async function runOn(rig: Rig, args: readonly string[], changes: Environment = {}): Promise<Ran> {
  return await runProgram({ ...rig.env, ...changes }, args);
}

/** The one object that a command printed; it must have printed nothing else and ended with `code`. */
export async function jsonOf(rig: Rig, args: readonly string[], { code = 0, env = {} as Environment } = {}) {
  const ran = await runOn(rig, [...args, "--json"], env);
  assert.equal(ran.code, code, ran.stderr);
  assertPrintable(ran.stdout);
  return JSON.parse(ran.stdout);
}

/** The text contains no characters that control a terminal or reverse the writing direction. */
export function assertPrintable(text: string): void {
  assert.doesNotMatch(text.replaceAll("\n", ""), /[\p{Cc}\p{Cf}\u2028\u2029]/u);
}

/** Every line fits in 80 columns, and without a terminal there is no colour. */
export function assertReadable(text: string): void {
  for (const line of text.split("\n")) assert.ok([...line].length <= 80, `over 80 columns: ${line}`);
  assertPrintable(text);
}
