/**
 * A folder → a certificate authority in it, and certificates for 127.0.0.1 that this authority signed, made by the
 * `openssl` of this machine.
 *
 * The files belong to `account`, and only it can read them, as PostgreSQL requires of keys.
 */
import type { Account } from "../../scripts/servers/account.ts";

export interface Certificate {
  /** Paths of PEM files. */
  readonly certificate: string;
  readonly key: string;
}

export class Authority {
  /** Path of the authority's own certificate. */
  readonly certificate: string;
  readonly #folder: string;
  readonly #name: string;
  readonly #account: Account | undefined;

  private constructor(folder: string, { name, account }: { name: string; account: Account | undefined }) {
    this.#folder = folder;
    this.#name = name;
    this.#account = account;
    this.certificate = `${folder}/${name}.pem`;
  }

  static async create(folder: string, options: { name: string; account: Account | undefined }): Promise<Authority> {
    const authority = new Authority(folder, options);
    await openssl([
      ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
      ...["-subj", `/CN=${options.name}`, "-keyout", `${folder}/${options.name}.key`, "-out", authority.certificate],
    ]);
    return authority;
  }

  /**
   * @param days until it expires; negative for an expired one
   * @param names for which the certificate is valid, in openssl's form
   */
  async sign(
    name: string,
    { days, names = "IP:127.0.0.1,DNS:localhost" }: { days: number; names?: string },
  ): Promise<Certificate> {
    const file = `${this.#folder}/${name}`;
    const [certificate, key] = [`${file}.pem`, `${file}.key`];
    await Deno.writeTextFile(`${file}.ext`, `subjectAltName=${names}\n`);
    await openssl([
      ...["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"],
      ...["-subj", "/CN=127.0.0.1", "-keyout", key, "-out", `${file}.csr`],
    ]);
    await openssl([
      ...["x509", "-req", "-in", `${file}.csr`, "-CA", this.certificate, "-CAkey", `${this.#folder}/${this.#name}.key`],
      ...["-CAcreateserial", "-days", String(days), "-extfile", `${file}.ext`, "-out", certificate],
    ]);
    await Deno.chmod(key, 0o600);
    if (this.#account !== undefined) {
      for (const path of [certificate, key]) await Deno.chown(path, this.#account.uid, this.#account.gid);
    }
    return { certificate, key };
  }
}

async function openssl(args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("openssl", { args: [...args], stdin: "null" }).output();
  if (!success) throw new Error(`openssl ${args[0]} failed:\n${new TextDecoder().decode(stderr)}`);
}
