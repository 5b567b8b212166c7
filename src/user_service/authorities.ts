/**
 * The runtime's variables → the authorities' certificates that their files hold now.
 *
 * The runtime itself reads these files once, when the process starts: an authority that is replaced later would not be
 * trusted.
 */
export interface Variables {
  get(name: string): string | undefined;
}

/** PEM texts; what can't be read is left out. */
export function authoritiesOf(variables: Variables): string[] {
  const stores = (variables.get("DENO_TLS_CA_STORE") ?? "").split(",").map((store) => store.trim());
  const paths = [
    variables.get("DENO_CERT"),
    stores.includes("system") ? variables.get("SSL_CERT_FILE") : undefined,
  ];
  return paths.flatMap((path) => {
    try {
      return path ? [Deno.readTextFileSync(path)] : [];
    } catch {
      // Missing while it is replaced: the handshake that fails meanwhile is reported.
      return [];
    }
  });
}
