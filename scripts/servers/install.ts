// In: names of Debian packages. Out: those packages installed, when this is Debian or Ubuntu and we are root.
// Guaranteed: it says on standard error what it does; the packages' own services are not started (policy-rc.d, put back
// as it was afterwards); everywhere else it throws `ServersMissing`, whose message is the command to type.

/** A program prints `message` and ends with `exitCode`. */
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

export async function installServers(packages: readonly string[]): Promise<void> {
  const system = Deno.build.os === "darwin" ? "darwin" : await distribution();
  if (system !== "debian" || Deno.uid() !== 0) throw new ServersMissing(instructions(system, packages));

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

/** Exported for its test. */
export function instructions(system: string, packages: readonly string[]): string {
  const missing = `Missing: ${packages.join(" and ")} (Redis 7.0 or newer and PostgreSQL 14 or newer are needed).`;
  switch (system) {
    case "debian":
      return `${missing} Type:\n  sudo apt-get update && sudo apt-get install -y ${packages.join(" ")}`;
    case "darwin": {
      const formulas = packages.map((name) => name === "postgresql" ? "postgresql@17" : "redis");
      return `${missing} Type:\n  brew install ${formulas.join(" ")}`;
    }
    case "fedora": {
      const names = packages.map((name) => name === "postgresql" ? "postgresql-server" : "redis");
      return `${missing} Type:\n  sudo dnf install -y ${names.join(" ")}`;
    }
    default:
      return `${missing} Install them with this system's package manager and see that they are in PATH.`;
  }
}

/** `debian` (Ubuntu included), `fedora`, … as /etc/os-release has it. */
async function distribution(): Promise<string> {
  try {
    const lines = (await Deno.readTextFile("/etc/os-release")).split("\n");
    const value = (name: string) => lines.find((line) => line.startsWith(`${name}=`))?.replace(/^.*=|"/g, "") ?? "";
    const names = [value("ID"), ...value("ID_LIKE").split(" ")];
    return names.find((name) => name === "debian" || name === "fedora") ?? names[0] ?? "";
  } catch {
    return ""; // a system without that file
  }
}
