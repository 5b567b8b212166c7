/**
 * install.sh installs all files, keeps an administrator's changes when it is repeated, and refuses an executable with a
 * wrong checksum.
 */
import assert from "node:assert/strict";
import { prefix, variableList } from "../src/config/variables.ts";

const UNIT_FILE = "/etc/systemd/system/notification-service.service";
const SCRIPT = new URL("./install.sh", import.meta.url).pathname;

async function install(root: string, executable: string) {
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: [SCRIPT, executable],
    env: { DESTDIR: root },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("install.sh installs the service, and a second run overwrites no file of the administrator", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [root, executable] = [`${folder}/root`, `${folder}/service`];
    await Deno.writeTextFile(executable, "#!/bin/sh\necho first\n");
    const first = await install(root, executable);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /Put the password of Redis into [^]*systemctl enable --now notification-service/);
    for (const [name, variable] of variableList.filter(([, { required, secret }]) => required && !secret)) {
      assert.ok(first.stdout.includes(`Fill in ${prefix}${name} in `), variable.meaning);
    }
    const mode = async (path: string) => ((await Deno.stat(`${root}${path}`)).mode ?? 0) & 0o777;
    assert.equal(await mode("/usr/local/bin/notification-service"), 0o755);
    assert.equal(await mode(UNIT_FILE), 0o644);
    // The documentation named in the unit exists and is readable for every user.
    const [, documents] = /^Documentation=file:(.*)$/m.exec(await Deno.readTextFile(`${root}${UNIT_FILE}`))!;
    assert.equal(await mode(`${documents}README.md`), 0o644);
    await checkLinks(`${root}${documents}`);
    for (const secret of ["redis_password", "postgres_primary_dsn", "environment"]) {
      assert.equal(await mode(`/etc/notification-service/${secret}`), 0o600);
    }

    const environment = `${root}/etc/notification-service/environment`;
    const filledIn = "NOTIFICATION_USER_SERVICE_BASE_URL=http://users\nNOTIFICATION_REDIS_MASTER_ADDR=redis:6379\n";
    await Deno.writeTextFile(environment, filledIn);
    await Deno.writeTextFile(`${root}/etc/notification-service/redis_password`, "secret");
    await Deno.writeTextFile(executable, "#!/bin/sh\necho second\n");
    const again = await install(root, executable);
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.stdout, /kept +\S*environment/);
    assert.doesNotMatch(again.stdout, /password of Redis|Fill in/);
    assert.equal(await Deno.readTextFile(environment), filledIn);
    assert.match(await Deno.readTextFile(`${root}/usr/local/bin/notification-service`), /second/);

    await Deno.writeTextFile(`${executable}.sha256`, `${"0".repeat(64)}  service\n`);
    const refused = await install(root, executable);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /is not what its \.sha256 says/);
    assert.match((await install(root, `${folder}/none`)).stderr, /there is no executable/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** In the installed documents, no link leads out of their folder. */
async function checkLinks(root: string, folder = root): Promise<void> {
  for (const { name, isDirectory } of Deno.readDirSync(folder)) {
    if (isDirectory) await checkLinks(root, `${folder}${name}/`);
    if (!name.endsWith(".md")) continue;
    const links = [...(await Deno.readTextFile(`${folder}${name}`)).matchAll(/\]\(([^)#:]+)(#[^)]*)?\)/g)];
    for (const [, link] of links) {
      const target = new URL(link!, `file://${folder}`).pathname;
      assert.ok(target.startsWith(root), `${folder}${name}: ${link}`);
      await Deno.stat(target);
    }
  }
}
