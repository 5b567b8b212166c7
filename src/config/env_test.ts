/** Injected variables and real files → what readEnvironment() returns: all of it, unchecked, without throwing. */
import assert from "node:assert/strict";
import { catalogText, type EnvironmentSource, readEnvironment, withNames } from "./env.ts";

const passwordFile = "NOTIFICATION_REDIS_PASSWORD_FILE";
const dsnFile = "NOTIFICATION_POSTGRES_PRIMARY_DSN_FILE";
const catalogFile = "NOTIFICATION_CATALOG_FILE";

function source(variables: Record<string, string>, notUtf8: readonly string[] = []): EnvironmentSource {
  return {
    toObject: () => variables,
    has(name) {
      if (notUtf8.includes(name)) throw new Deno.errors.InvalidData(`environment variable was not valid unicode: "x"`);
      return name in variables;
    },
  };
}

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("readEnvironment() returns the variables with the service's prefix and no others", () => {
  const { variables, files, notUtf8 } = readEnvironment(source({ NOTIFICATION_X: "1", NOTIFICATION_: "", HOME: "/" }));
  assert.deepEqual(variables, { NOTIFICATION_X: "1", NOTIFICATION_: "" });
  assert.deepEqual([files, notUtf8], [{}, []]);
});

Deno.test("readEnvironment() reads the process's environment by default", () => {
  const { variables } = readEnvironment();
  assert.ok(Object.keys(variables).every((name) => name.startsWith("NOTIFICATION_")));
});

Deno.test("readEnvironment() reads the named files byte for byte, without a byte order mark at the beginning", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/password`, "\ufeffp\u00e4\ufeffss\r\n\n");
    await Deno.writeTextFile(`${folder}/dsn`, "");
    await Deno.writeTextFile(`${folder}/catalog`, "x".repeat(200_000));
    const { files } = readEnvironment(source({
      [passwordFile]: `${folder}/password`,
      [dsnFile]: `${folder}/dsn`,
      [catalogFile]: `${folder}/catalog`,
      NOTIFICATION_LOG_LEVEL_FILE: `${folder}/dsn`,
    }));
    assert.deepEqual(files, {
      [passwordFile]: { kind: "read", text: "p\u00e4\ufeffss\r\n\n" },
      [dsnFile]: { kind: "read", text: "" },
      [catalogFile]: { kind: "read", text: "x".repeat(200_000) },
    });
  }));

Deno.test("readEnvironment() returns the reason why a file can't be read, without its name", () =>
  withFolder(async (folder) => {
    await Deno.writeFile(`${folder}/latin1`, new Uint8Array([0x70, 0xe4]));
    await Deno.writeTextFile(`${folder}/large`, "x".repeat(16 * 1024 * 1024 + 1));
    const reasons: Record<string, string> = {
      [`${folder}/missing`]: "does not exist",
      [folder]: "is a directory",
      [`${folder}/latin1`]: "is not UTF-8 text",
      [`${folder}/large`]: "is larger than 16 MiB",
      [`${folder}/${"x".repeat(5_000)}`]: "cannot be read (ENAMETOOLONG)",
    };
    for (const [path, reason] of Object.entries(reasons)) {
      assert.deepEqual(readEnvironment(source({ [passwordFile]: path })).files, {
        [passwordFile]: { kind: "unreadable", reason },
      });
    }
  }));

Deno.test(
  "readEnvironment() reads an endless file only up to its bound",
  { ignore: Deno.build.os === "windows" },
  () => {
    const { files } = readEnvironment(source({ [passwordFile]: "/dev/zero" }));
    assert.equal(files[passwordFile]?.kind, "unreadable");
  },
);

Deno.test("readEnvironment() names the variables whose bytes are not UTF-8", () => {
  const names = ["NOTIFICATION_REDIS_PASSWORD", passwordFile, "NOTIFICATION_REDIS_USERNAME"];
  assert.deepEqual(readEnvironment(source({}, names)).notUtf8, names);
});

Deno.test("withNames() also checks names that are derived from the catalog", () => {
  const broken = source({ [passwordFile]: "x" }, ["NOTIFICATION_ADMIN_EMAILS_A", dsnFile]);
  const environment = readEnvironment(broken);
  const names = ["NOTIFICATION_ADMIN_EMAILS_A", "NOTIFICATION_ADMIN_EMAILS_B"];
  assert.deepEqual(withNames(environment, names, broken), { ...environment, notUtf8: [dsnFile, names[0]] });
});

Deno.test("readEnvironment() throws other errors of the environment", () => {
  const broken: EnvironmentSource = {
    toObject: () => ({}),
    has: () => {
      throw new RangeError("Surprise");
    },
  };
  assert.throws(() => readEnvironment(broken), RangeError);
});

Deno.test("catalogText() distinguishes embedded, file and unreadable", () =>
  withFolder(async (folder) => {
    const path = `${folder}/catalog.json`;
    await Deno.writeTextFile(path, "{}");
    assert.deepEqual(catalogText(readEnvironment(source({}))), { kind: "embedded" });
    assert.deepEqual(catalogText(readEnvironment(source({ [catalogFile]: "" }))), { kind: "embedded" });
    assert.deepEqual(catalogText(readEnvironment(source({ [catalogFile]: path }))), { kind: "file", path, text: "{}" });
    assert.deepEqual(catalogText(readEnvironment(source({ [catalogFile]: folder }))), { kind: "unreadable" });
  }));
