/**
 * Nothing but who runs this process → the account a server runs under, and temporary folders that belong to it.
 *
 * PostgreSQL refuses to run as root, so for root it is the account `postgres`, or `nobody` on a machine without one;
 * everybody else's servers run as themselves.
 */

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Returns `undefined` where the server may run as this process's user. */
export async function serverAccount(): Promise<Account | undefined> {
  if (Deno.uid() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    const uid = await id("-u", name);
    const gid = await id("-g", name);
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  }
  throw new Error("Neither postgres nor nobody is an account of this machine, and PostgreSQL does not run as root");
}

/** Root's folders are under /tmp in any case: `TMPDIR` may be a place that the other account has no way into. */
export async function scratchFolder(prefix: string, account?: Account): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: `${prefix}-`, ...(Deno.uid() === 0 ? { dir: "/tmp" } : {}) });
  if (account !== undefined) await Deno.chown(folder, account.uid, account.gid);
  return folder;
}

async function id(option: "-u" | "-g", name: string): Promise<number | undefined> {
  const { success, stdout } = await new Deno.Command("id", { args: [option, name], stderr: "null" }).output();
  return success ? Number(new TextDecoder().decode(stdout)) : undefined;
}
