/**
 * dist/notification-service and the Containerfile → exit code 0 if the image can be built, and a container of it starts
 * with real servers as the image's user, delivers an intent, passes the image's health check, and ends with 0 after
 * SIGTERM.
 *
 * The base image in the Containerfile can only be downloaded from its registry. It is replaced by an image of the same
 * name, made of the same Debian packages, without a shell and with the same user. Needs root and buildah, which is
 * installed if possible.
 */
import { outputOf, succeeds } from "./command_output.ts";
import assert from "node:assert/strict";
import { eventually } from "../tests/support/wait.ts";
import { installServers } from "./servers/install.ts";
import { freePort } from "./servers/free_port.ts";
import { startPostgres } from "./servers/postgres.ts";
import { startRedis } from "./servers/redis.ts";
import { startUserService } from "./servers/user_service.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const IMAGE = "localhost/notification-service";
/** The packages in gcr.io/distroless/cc-debian12 that matter to a program. */
const PACKAGES = ["base-files", "netbase", "ca-certificates", "tzdata", "libc6", "libgcc-s1", "gcc-12-base"];
const USERS = "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";

interface ImageConfig {
  readonly User: string;
  readonly Entrypoint: readonly string[];
  readonly Healthcheck: { readonly Test: readonly string[] };
}

async function checkImage(buildah: Buildah, folder: string): Promise<void> {
  const containerfile = await Deno.readTextFile(`${ROOT}Containerfile`);
  const base = /^FROM (\S+)$/m.exec(containerfile)![1]!;
  await makeBase(buildah, { name: base, folder });
  await buildah.run(
    "build",
    "--pull-never",
    "--format",
    "docker",
    "--tag",
    IMAGE,
    "--file",
    `${ROOT}Containerfile`,
    ROOT,
  );
  const inspected = JSON.parse(await buildah.run("inspect", "--type", "image", IMAGE));
  const config: ImageConfig = inspected.Docker.config;
  assert.equal(config.User, "65532:65532");
  const container = (await buildah.run("from", "--pull-never", IMAGE)).trim();
  try {
    await startOnce(buildah, { container, config });
  } finally {
    await buildah.run("rm", container);
  }
}

/** Makes a base image from Debian packages. */
async function makeBase(buildah: Buildah, { name, folder }: { name: string; folder: string }): Promise<void> {
  const archives = `${folder}/archives`;
  await Deno.mkdir(archives);
  await outputOf("apt-get", ["download", "-o", "APT::Sandbox::User=root", ...PACKAGES], { cwd: archives });
  const container = (await buildah.run("from", "scratch")).trim();
  const root = (await buildah.run("mount", container)).trim();
  for (const { name } of Deno.readDirSync(archives)) await outputOf("dpkg-deb", ["-x", `${archives}/${name}`, root]);
  await Deno.mkdir(`${root}/tmp`, { recursive: true });
  await Deno.chmod(`${root}/tmp`, 0o1777);
  await Deno.writeTextFile(`${root}/etc/passwd`, USERS);
  await buildah.run("commit", "--rm", container, name);
}

async function startOnce(
  buildah: Buildah,
  { container, config }: { container: string; config: ImageConfig },
): Promise<void> {
  await using redis = await startRedis();
  await using postgres = await startPostgres();
  await using users = startUserService({ users: [["user-1", { email: "user-1@example.com" }]] });
  const env = {
    NOTIFICATION_REDIS_MASTER_ADDR: redis.addr,
    NOTIFICATION_REDIS_PASSWORD: redis.password,
    NOTIFICATION_POSTGRES_PRIMARY_DSN: await postgres.createDatabase(),
    NOTIFICATION_USER_SERVICE_BASE_URL: users.baseUrl,
    NOTIFICATION_INTERNAL_HTTP_ADDR: `127.0.0.1:${freePort()}`,
  };
  const inContainer = (command: readonly string[]) => [
    ...["run", "--isolation", "chroot", "--user", config.User],
    ...Object.entries(env).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    ...[container, "--", ...command],
  ];
  // Before the service runs, the health check fails.
  const healthCheck = inContainer(config.Healthcheck.Test.slice(1));
  await assert.rejects(buildah.run(...healthCheck), /no answer from/);

  const service = buildah.spawn(...inContainer([...config.Entrypoint, "run"]));
  const lines: string[] = [];
  const reading = (async () => {
    for await (const chunk of service.stdout.pipeThrough(new TextDecoderStream())) lines.push(chunk);
  })();
  try {
    await eventually(() => buildah.run(...healthCheck).then(() => true), {
      timeoutMs: 30_000,
      intervalMs: 200,
      message: () => `The container, which printed the following, did not become healthy:\n${lines.join("")}`,
    });
    const smoke = await buildah.run(...inContainer([...config.Entrypoint, "smoke", "--user-id", "user-1", "--json"]));
    assert.match(smoke, /"published"/);
  } finally {
    Deno.kill(await servicePid(env.NOTIFICATION_INTERNAL_HTTP_ADDR), "SIGTERM");
    await service.status;
    await reading;
  }
  assert.match(lines.join(""), /"message":"stopped","exit_code":0/);
}

/** Buildah with a separate store, which is deleted with its folder. */
class Buildah {
  readonly #options: readonly string[];

  constructor(folder: string) {
    this.#options = ["--storage-driver", "vfs", "--root", `${folder}/store`, "--runroot", `${folder}/run`];
  }

  async run(...args: readonly string[]): Promise<string> {
    return await outputOf("buildah", [...this.#options, ...args], { cwd: ROOT });
  }

  spawn(...args: readonly string[]): Deno.ChildProcess {
    return new Deno.Command("buildah", {
      args: [...this.#options, ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
  }
}

/** Finds the process of the service, not the processes of buildah around it, by its probe address, which is unique. */
async function servicePid(address: string): Promise<number> {
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const read = (file: string) => Deno.readTextFile(`/proc/${name}/${file}`).catch(() => "");
    const isService = (await read("comm")).startsWith("notification-se");
    if (isService && (await read("environ")).includes(`NOTIFICATION_INTERNAL_HTTP_ADDR=${address}\0`)) {
      return Number(name);
    }
  }
  throw new Error("The service's process was not found");
}

if (import.meta.main) {
  if (Deno.uid() !== 0) {
    console.error("Building an image needs root here: run this as root");
    Deno.exit(69);
  }
  if (!await succeeds("buildah", "--version")) await installServers(["buildah"]);
  const folder = await Deno.makeTempDir({ prefix: "notification-image-" });
  try {
    await checkImage(new Buildah(folder), folder);
    console.log("The image builds; its container starts, delivers, is healthy, and stops.");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
