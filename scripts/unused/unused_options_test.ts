/** Which options count as unused, and which forms of setting an option are recognised. */
import assert from "node:assert/strict";
import { compile } from "./compile.ts";
import { checkUnusedOptions } from "./unused_options.ts";

function breaches(files: Record<string, string>): string[] {
  return checkUnusedOptions(compile(new Map(Object.entries(files)))).map(({ file, line, message }) =>
    `${file}:${line}: ${message}`
  );
}

/** An interface with one option that a function needs, beside a caller. */
function withCaller(caller: string, more: Record<string, string> = {}): string[] {
  const open = `export interface OpenOptions {
  readonly name: string;
  readonly bound?: number;
}
export function open({ name, bound }: OpenOptions) {
  console.log(name, bound);
}
`;
  return breaches({
    "src/open.ts": open,
    "main.ts": `import { open, type OpenOptions } from "./src/open.ts";\n${caller}`,
    ...more,
  });
}
const UNUSED = ["src/open.ts:3: Nothing sets the option bound"];

Deno.test("checkUnusedOptions() finds an option that nothing sets", () => {
  assert.deepEqual(withCaller(`open({ name: "a" });`), UNUSED);
  assert.deepEqual(withCaller(`console.log({ bound: 1 }); open({ name: "a" });`), UNUSED);
});

Deno.test("checkUnusedOptions() finds an option that only tests set, unless it has a default", () => {
  const test = { "src/open_test.ts": `import { open } from "./open.ts";\nopen({ name: "a", bound: 1 });` };
  assert.deepEqual(withCaller(`open({ name: "a" });`, test), ["src/open.ts:3: Only tests set the option bound"]);
  const parts = (open: string) => ({
    "src/open.ts": `interface OpenOptions { readonly bound?: number }\n${open}`,
    "main.ts": `import { open } from "./src/open.ts";\nopen({});`,
    "tests/open_test.ts": `import { open } from "../src/open.ts";\nopen({ bound: 2 });`,
  });
  for (
    const body of [
      "export function open({ bound = 1 }: OpenOptions) { return bound; }",
      "export function open({ bound }: OpenOptions) { return bound ?? 1; }",
      "export function open(options: OpenOptions) { return options.bound ?? 1; }",
      "export function open(options: OpenOptions) { return inner(options.bound); }\nfunction inner(bound = 1) { return bound; }",
    ]
  ) assert.deepEqual(breaches(parts(body)), [], body);
  const untested = parts("export function open({ bound = 1 }: OpenOptions) { return bound; }");
  assert.deepEqual(breaches({ ...untested, "tests/open_test.ts": "" }), [
    "src/open.ts:1: Nothing sets the option bound",
  ]);
});

Deno.test("checkUnusedOptions() recognises all forms of setting an option", () => {
  for (
    const caller of [
      `open({ name: "a", bound: 1 });`,
      `const bound = 1; open({ name: "a", bound });`,
      `const settings = { bound: 1 }; open({ name: "a", ...settings });`,
      `const settings = { name: "a", bound: 1 }; open(settings);`,
      `const options = { name: "a" } as { -readonly [Key in keyof OpenOptions]: OpenOptions[Key] }; options.bound = 1; open(options);`,
      `const options: OpenOptions = { name: "a", bound: 1 }; open(options);`,
      `const optionsOf = (): OpenOptions => ({ name: "a", bound: 1 }); open(optionsOf());`,
    ]
  ) assert.deepEqual(withCaller(caller), [], caller);
});

Deno.test("checkUnusedOptions() does not count passing an option on as setting it", () => {
  for (
    const [parameter, value] of [
      ["{ bound }: OuterOptions", "bound"],
      ["options: OuterOptions", "bound: options.bound"],
      ["options: OuterOptions", "...options"],
      ["bound?: number", "bound"],
    ] as const
  ) {
    const isOption = parameter.includes("Options");
    const outer = `import { open } from "./open.ts";
${isOption ? "type OuterOptions = { readonly bound?: number };" : ""}
export function outer(${parameter}) {
  open({ name: "a", ${value} });
}
`;
    const call = (args: string) => `import { outer } from "./src/outer.ts";\nouter(${args});`;
    assert.deepEqual(
      withCaller(call(isOption ? "{}" : ""), { "src/outer.ts": outer }),
      [...UNUSED, `src/outer.ts:${isOption ? 2 : 3}: Nothing sets the option bound`],
      outer,
    );
    assert.deepEqual(withCaller(call(isOption ? "{ bound: 1 }" : "1"), { "src/outer.ts": outer }), [], outer);
  }
});

Deno.test("checkUnusedOptions() checks optional parameters and types that are written at a parameter", () => {
  const files = {
    "src/a.ts": `export function a(first: string, second = 1) { return first + second; }
export function b({ one, two }: { one?: string; two?: string }) { return [one, two]; }
export class C {
  constructor(readonly third?: number) {}
}
`,
    "main.ts": `import { a, b, C } from "./src/a.ts";\na("a");\nb({ two: "b" });\nnew C();`,
  };
  assert.deepEqual(breaches(files), [
    "src/a.ts:1: Nothing sets the option second",
    "src/a.ts:2: Nothing sets the option one",
    "src/a.ts:4: Nothing sets the option third",
  ]);
  const allSet = `import { a, b, C } from "./src/a.ts";\na("a", 1);\nb({ one: "a", two: "b" });\nnew C(...[1]);`;
  assert.deepEqual(breaches({ ...files, "main.ts": allSet }), []);
});

Deno.test("checkUnusedOptions() ignores data, the producer module, callbacks of libraries, scripts and tests", () => {
  const files = {
    "src/a.ts": `export interface Row { readonly note?: string }\nexport function a({ note }: Row) { return note; }`,
    "src/b.ts": `import pg from "pg";
export class Pool extends pg.Pool {
  override connect(callback?: () => void) { return super.connect(callback); }
}
export const client = () => class extends pg.Client {
  constructor(config?: string) { super(config); }
};
`,
    "src/producer/producer.ts": "export function publishIntent(stream = 'a') { return stream; }",
    "scripts/a.ts": "export function a(b = 1) { return b; }",
    "tests/a_test.ts": "export function a(b = 1) { return b; }",
    "main.ts": `import { a } from "./src/a.ts";\na({});`,
  };
  assert.deepEqual(breaches(files), []);
});
