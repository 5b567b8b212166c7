/**
 * docs/kubernetes.yaml uses existing variables, paths and a port of the service, and contains no secret in plain text.
 */
import assert from "node:assert/strict";
import { parse } from "yaml";
import { fileForm, prefix, variableList } from "../src/config/variables.ts";

Deno.test("the variables, probes and user of the manifest are correct", () => {
  const { spec } = parse(Deno.readTextFileSync(new URL("../docs/kubernetes.yaml", import.meta.url))).spec.template;
  const [container] = spec.containers;
  const given = new Set<string>(container.env.map(({ name }: { name: string }) => name));
  const known = new Set(
    variableList.flatMap(([name, { secret }]) => secret ? [fileForm(name)] : [name]).map((name) => prefix + name),
  );
  for (const name of given) assert.ok(known.has(name), name);
  for (const [name, variable] of variableList) {
    if (variable.required) assert.ok(given.has(prefix + (variable.secret ? fileForm(name) : name)), name);
  }
  assert.deepEqual(container.ports, [{ name: "probe", containerPort: 8092 }]);
  const paths = ["startupProbe", "readinessProbe", "livenessProbe"].map((probe) => container[probe].httpGet.path);
  assert.deepEqual(paths, ["/healthz", "/readyz", "/healthz"]);
  assert.equal(spec.securityContext.runAsNonRoot, true);
  assert.equal(spec.enableServiceLinks, false);
});
