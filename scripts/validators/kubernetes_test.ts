/**
 * docs/kubernetes.yaml is valid for the schemas of the Kubernetes API, and has no unknown field: an API server silently
 * drops such a field. The schemas check values; their TypeScript types check fields.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Deployment } from "kubernetes-models/apps/v1/Deployment";
import { parse } from "yaml";

const TEXT = Deno.readTextFileSync(new URL("../../docs/kubernetes.yaml", import.meta.url));
const CONFIG = fileURLToPath(new URL("./deno.json", import.meta.url));

Deno.test("the manifest is valid by the schemas of Kubernetes's API", async () => {
  validate(TEXT);
  assert.equal(await unknownFields([TEXT]), "");
});

Deno.test("a wrong value in a manifest is found", () => {
  const broken: Readonly<Record<string, readonly [string, string]>> = {
    "a number as text": ["terminationGracePeriodSeconds: 15", 'terminationGracePeriodSeconds: "15"'],
    "no selector": ["  selector:\n    matchLabels: { app: notification-service }\n", ""],
    "a port that is none": ["containerPort: 8092", "containerPort: probe"],
    "another kind": ["kind: Deployment", "kind: Deploymnt"],
  };
  for (const [what, change] of Object.entries(broken)) assert.throws(() => validate(changed(change)), what);
});

Deno.test("an unknown field is found at every depth", async () => {
  const broken = [
    ["replicas: 2", "replicas: 2\n  replica: 2"],
    ["failureThreshold: 150", "failureThreshold: 150\n            failures: 150"],
    ["runAsNonRoot: true", "runAsNonRoot: true\n        runAsNoRoot: true"],
  ] as const;
  const found = await unknownFields(broken.map(changed));
  for (const field of ["replica", "failures", "runAsNoRoot"]) assert.match(found, new RegExp(`'"?${field}"?'`), field);
});

function changed([from, to]: readonly [string, string]): string {
  const text = TEXT.replace(from, to);
  assert.notEqual(text, TEXT, from);
  return text;
}

function validate(text: string): void {
  new Deployment(parse(text)).validate();
}

/** Returns the compiler's errors for the manifests as literals; empty if all fields are known. */
async function unknownFields(manifests: readonly string[]): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    const literals = manifests.map((text) => `${JSON.stringify(parse(text))} satisfies IDeployment`);
    const file = `${folder}/manifests.ts`;
    const source =
      `import type { IDeployment } from "kubernetes-models/apps/v1/Deployment";\nexport default [${literals}];\n`;
    await Deno.writeTextFile(file, source);
    const args = ["check", "--quiet", "--config", CONFIG, file];
    const { stderr } = await new Deno.Command(Deno.execPath(), { args, env: { NO_COLOR: "1" }, stdin: "null" })
      .output();
    return new TextDecoder().decode(stderr);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
