/**
 * What a supervisor such as systemd passes to the process in variables of its own: sd_notify(3),
 * sd_watchdog_enabled(3), systemd.exec(5) for RUNTIME_DIRECTORY. They are no configuration; whatever they hold, the
 * service runs.
 */

export interface Supervisor {
  /**
   * Where notifications go: a path, or `@` and a name in the abstract namespace; undefined: there is no such socket.
   */
  readonly notifySocket: string | undefined;
  /** The time within which signs of life are wanted; undefined: none are. */
  readonly watchdogMs: number | undefined;
  /** A folder of this process's own, if it has one. */
  readonly runtimeDirectory: string | undefined;
}

export function readSupervisor(
  env: Pick<Deno.Env, "get"> = Deno.env,
  { pid = Deno.pid }: { readonly pid?: number } = {},
): Supervisor {
  const text = (name: string) => env.get(name) || undefined;
  const watchdogUsec = text("WATCHDOG_USEC") ?? "";
  const forUs = [undefined, String(pid)].includes(text("WATCHDOG_PID"));
  return {
    notifySocket: text("NOTIFY_SOCKET"),
    watchdogMs: forUs && /^[1-9]\d{0,15}$/.test(watchdogUsec) ? Number(watchdogUsec) / 1000 : undefined,
    // One of several: the first.
    runtimeDirectory: text("RUNTIME_DIRECTORY")?.split(":")[0],
  };
}
