/**
 * The variables that a supervisor such as systemd sets → where and how often the service reports its state:
 * sd_notify(3), sd_watchdog_enabled(3), systemd.exec(5) for RUNTIME_DIRECTORY.
 *
 * They are not part of the configuration: whatever they contain, the service runs.
 */

export interface Supervisor {
  /** The socket for notifications: a path, or `@` and a name in the abstract namespace; undefined if there is none. */
  readonly notifySocket: string | undefined;
  /** The time within which the supervisor expects signs of life; undefined if it expects none. */
  readonly watchdogMs: number | undefined;
  /** A folder that belongs to this service, if the supervisor has made one. */
  readonly runtimeDirectory: string | undefined;
}

export function readSupervisor(
  env: Pick<Deno.Env, "get"> = Deno.env,
  { pid = Deno.pid }: { readonly pid?: number } = {},
): Supervisor {
  const text = (name: string) => env.get(name) || undefined;
  const watchdogUsec = text("WATCHDOG_USEC") ?? "";
  const isForThisProcess = [undefined, String(pid)].includes(text("WATCHDOG_PID"));
  return {
    notifySocket: text("NOTIFY_SOCKET"),
    watchdogMs: isForThisProcess && /^[1-9]\d{0,15}$/.test(watchdogUsec) ? Number(watchdogUsec) / 1000 : undefined,
    // The variable may contain several folders; the first one is used.
    runtimeDirectory: text("RUNTIME_DIRECTORY")?.split(":")[0],
  };
}
