/**
 * Names of Debian packages → these packages are installed, if this process runs as root on Debian or Ubuntu.
 *
 * Progress is written to standard error. The services of the packages are not started (`policy-rc.d`, which is restored
 * afterwards). On other systems and for other users it throws `ServersMissing`, whose message contains the command to
 * type.
 */

/** A program that catches this prints `message` and ends with `exitCode`. */
export class ServersMissing extends Error {
  readonly exitCode = 69;
}

const INSTALL = `
set -e
exec >&2 9>/run/lock/notification-install
flock 9
policy=/usr/sbin/policy-rc.d
saved=$(mktemp -d)
undo() { rm -f "$policy"; [ ! -e "$saved/policy" ] || mv "$saved/policy" "$policy"; rm -rf "$saved"; }
[ ! -e "$policy" ] || mv "$policy" "$saved/policy"
trap undo EXIT
trap 'exit 130' INT TERM HUP
printf '#!/bin/sh\\nexit 101\\n' >"$policy"
chmod 755 "$policy"
apt-get update
apt-get install -y -o DPkg::Lock::Timeout=300 "$@"
`;

/** @param tooOld the packages among them that are installed, but too old */
export async function installServers(packages: readonly string[], tooOld: readonly string[] = []): Promise<void> {
  const system = Deno.build.os === "darwin" ? "darwin" : await distribution();
  if (system !== "debian" || Deno.uid() !== 0) {
    const isAptTooOld = system === "debian" && tooOld.length > 0;
    throw new ServersMissing(isAptTooOld ? instructionsForNewer(tooOld) : instructions(system, packages));
  }

  console.error(`Missing: ${packages.join(" and ")}. Installing with apt-get, as this is root on Debian or Ubuntu.`);
  const { success } = await new Deno.Command("sh", {
    args: ["-c", INSTALL, "install", ...packages],
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdin: "null",
    stdout: "inherit",
    stderr: "inherit",
  }).output();
  if (!success) throw new ServersMissing(instructions(system, packages));
}

/** Package names of other systems by Debian's name. Packages that are not listed have the same name on all systems. */
const NAMES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  debian: {},
  darwin: { "redis-server": "redis", postgresql: "postgresql@17" },
  fedora: { "redis-server": "redis", postgresql: "postgresql-server" },
  arch: { "redis-server": "valkey", postgresql: "postgresql" },
  alpine: { "redis-server": "redis", postgresql: "postgresql" },
  suse: { "redis-server": "redis", postgresql: "postgresql-server" },
};

const COMMANDS: Readonly<Record<string, string>> = {
  debian: "sudo apt-get update && sudo apt-get install -y",
  darwin: "brew install",
  fedora: "sudo dnf install -y",
  arch: "sudo pacman -S --needed",
  alpine: "sudo apk add",
  suse: "sudo zypper install -y",
};

const OLDEST: Readonly<Record<string, string>> = {
  "redis-server": "Redis 7.0 or newer is needed",
  postgresql: "PostgreSQL 14 or newer is needed",
};

/** Commands for the repositories of Redis and PostgreSQL, for systems whose own packages are too old. */
const NEWER: Readonly<Record<string, string>> = {
  "redis-server": `sudo apt-get update && sudo apt-get install -y curl gpg lsb-release
  curl -fsSL https://packages.redis.io/gpg | sudo gpg --dearmor -o /usr/share/keyrings/redis-archive-keyring.gpg
  echo "deb [signed-by=/usr/share/keyrings/redis-archive-keyring.gpg] https://packages.redis.io/deb $(lsb_release -cs) main" |
    sudo tee /etc/apt/sources.list.d/redis.list
  sudo apt-get update && sudo apt-get install -y redis`,
  postgresql: `sudo apt-get update && sudo apt-get install -y postgresql-common
  sudo /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y && sudo apt-get install -y postgresql`,
};

/** Exported for its test. */
export function instructions(system: string, packages: readonly string[]): string {
  const [command, names] = [COMMANDS[system], NAMES[system]];
  const missing = `Missing: ${packages.join(" and ")}${oldestOf(packages)}.`;
  if (command === undefined) {
    return `${missing} Install it with this system's package manager, and add it to PATH.`;
  }
  return `${missing} Type:\n  ${command} ${packages.map((name) => names?.[name] ?? name).join(" ")}`;
}

/** The commands to type if the packages of Debian or Ubuntu are too old. */
export function instructionsForNewer(packages: readonly string[]): string {
  const what = `This system's packages are too old: ${packages.join(" and ")}${oldestOf(packages)}.`;
  return `${what} Type:\n  ${packages.flatMap((name) => NEWER[name] ?? []).join("\n  ")}`;
}

function oldestOf(packages: readonly string[]): string {
  const needs = packages.flatMap((name) => OLDEST[name] ?? []);
  return needs.length === 0 ? "" : ` (${needs.join(", ")})`;
}

/** Reads /etc/os-release: `debian` (also for Ubuntu), `fedora`, `suse`, …; empty if unknown. */
export async function distribution(): Promise<string> {
  try {
    const lines = (await Deno.readTextFile("/etc/os-release")).split("\n");
    const value = (name: string) => lines.find((line) => line.startsWith(`${name}=`))?.replace(/^.*=|"/g, "") ?? "";
    const names = [value("ID"), ...value("ID_LIKE").split(" ")];
    return names.find((name) => Object.hasOwn(COMMANDS, name)) ?? names[0] ?? "";
  } catch {
    return ""; // a system without that file
  }
}
