/**
 * The user of this process → the account that a server runs as, and temporary folders that belong to this account.
 *
 * PostgreSQL refuses to run as root, so root's servers run as `postgres`, or as `nobody` if that account does not
 * exist. The servers of other users run as these users.
 */

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** Returns `undefined` if the server can run as the user of this process. */
export async function serverAccount(): Promise<Account | undefined> {
  if (Deno.uid() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    const uid = await id("-u", name);
    const gid = await id("-g", name);
    if (uid !== undefined && gid !== undefined) return { uid, gid };
  }
  throw new Error("Neither postgres nor nobody is an account of this machine, and PostgreSQL does not run as root");
}

/** Root's folders are always under /tmp, because the other account may have no access to `TMPDIR`. */
export async function scratchFolder(prefix: string, account?: Account): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: `${prefix}-`, ...(Deno.uid() === 0 ? { dir: "/tmp" } : {}) });
  if (account !== undefined) await Deno.chown(folder, account.uid, account.gid);
  return folder;
}

async function id(option: "-u" | "-g", name: string): Promise<number | undefined> {
  const { success, stdout } = await new Deno.Command("id", { args: [option, name], stderr: "null" }).output();
  return success ? Number(new TextDecoder().decode(stdout)) : undefined;
}
