/**
 * The Containerfile starts the compiled executable as an unprivileged user. scripts/validators/containerfile_test.ts
 * checks that it is valid.
 */
import assert from "node:assert/strict";

const TEXT = Deno.readTextFileSync(new URL("../Containerfile", import.meta.url));

Deno.test("the Containerfile starts the executable without root rights and checks its health without a shell", () => {
  assert.match(TEXT, /^ARG EXECUTABLE=dist\/notification-service$/m);
  assert.match(TEXT, /^COPY --chmod=0755 \$\{EXECUTABLE\} \/usr\/local\/bin\/notification-service$/m);
  assert.match(TEXT, /^ENV OTEL_DENO=false$/m);
  assert.match(TEXT, /^USER 65532:65532$/m);
  assert.match(TEXT, /^HEALTHCHECK .*CMD \["\/usr\/local\/bin\/notification-service", "healthcheck"\]$/m);
  assert.match(TEXT, /^ENTRYPOINT \["\/usr\/local\/bin\/notification-service"\]$/m);
});

Deno.test("the documented build commands keep the health check and send only the executables", () => {
  for (const page of ["../Containerfile", "../docs/deployment.md"]) {
    const text = Deno.readTextFileSync(new URL(page, import.meta.url));
    for (const [line] of text.matchAll(/^.*podman build.*$/gm)) assert.match(line, / --format docker /, page);
  }
  const ignored = Deno.readTextFileSync(new URL("../.containerignore", import.meta.url)).split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  assert.deepEqual(ignored, ["*", "!dist/notification-service", "!dist/notification-service-aarch64"]);
});
