/**
 * Ports of 127.0.0.1 → a host name with an IPv4 and an IPv6 address, which only one process can resolve, and for each
 * port another port of this host that leads to it. It does so only in one address family; in the other, connections are
 * refused or get no answer.
 *
 * The machine's /etc/hosts is not changed: the process has another one in its own mount namespace.
 */
import net from "node:net";
import { freePort } from "../../scripts/servers/free_port.ts";
import { joinSockets } from "./moving_address.ts";
import { eventually } from "./wait.ts";

export const HOST = "two-families.test";
export const ADDRESSES = { IPv4: "127.0.0.1", IPv6: "::1" } as const;
export type Family = keyof typeof ADDRESSES;
export type Death = "refuses" | "is silent";

/**
 * A socket whose queue of connections is full: further connections get no answer. Deno can't set the length of the
 * queue.
 */
const SILENT = `
import socket, sys
address, port = sys.argv[1], int(sys.argv[2])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
listener = socket.socket(family)
if family == socket.AF_INET6: listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
listener.bind((address, port))
listener.listen(0)
waiting = []
for _ in range(4):
    client = socket.socket(family)
    client.setblocking(False)
    client.connect_ex((address, port))
    waiting.append(client)
print("full", flush=True)
sys.stdin.read()
`;

/** The command prefix with which a command can resolve the name; `undefined` if this machine does not allow it. */
export async function prefixFor(hostsFile: string): Promise<string[] | undefined> {
  const hosts = await Deno.readTextFile("/etc/hosts");
  const names = Object.values(ADDRESSES).map((address) => `${address} ${HOST}\n`);
  await Deno.writeTextFile(hostsFile, `${hosts}\n${names.join("")}`);
  const user = Deno.uid() === 0 ? [] : ["--user", "--map-root-user"];
  const mount = 'mount --bind "$1" /etc/hosts && shift && exec "$@"';
  const prefix = ["unshare", "--mount", ...user, "sh", "-c", mount, "sh", hostsFile];
  try {
    const [command = "", ...args] = [...prefix, "getent", "ahosts", HOST];
    const { success, stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
    return success && new TextDecoder().decode(stdout).includes(ADDRESSES.IPv6) ? prefix : undefined;
  } catch {
    return undefined; // no such command
  }
}

export class TwoFamilies implements AsyncDisposable {
  readonly #listeners: net.Server[] = [];
  readonly #sockets = new Set<net.Socket>();
  readonly #silent: Deno.ChildProcess[] = [];

  /** Returns the port of {@link HOST} that leads to `target`. */
  async open(target: number, { dead, death }: { dead: Family; death: Death }): Promise<number> {
    const alive = dead === "IPv4" ? "IPv6" : "IPv4";
    const port = freePort();
    const listener = net.createServer((client) => joinSockets(client, net.connect(target, "127.0.0.1"), this.#sockets));
    this.#listeners.push(listener);
    await new Promise<void>((resolve, reject) => {
      listener.once("error", reject);
      listener.listen({ host: ADDRESSES[alive], port, ipv6Only: true }, resolve);
    });
    if (death === "is silent") await this.#silence(ADDRESSES[dead], port);
    return port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#silent) {
      child.kill("SIGKILL");
      await child.stdin.close();
      await child.status;
      await child.stdout.cancel();
    }
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(this.#listeners.map((listener) => new Promise((resolve) => listener.close(resolve))));
  }

  async #silence(address: string, port: number): Promise<void> {
    const child = new Deno.Command("python3", {
      args: ["-c", SILENT, address, String(port)],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#silent.push(child);
    const reader = child.stdout.getReader();
    await eventually(async () => (await reader.read()).value !== undefined);
    reader.releaseLock();
  }
}
