/** The probe's address → the answer of the instance on this machine or in this container. */
import { get } from "node:http";
import { timeOutSignal } from "../clock.ts";

interface Address {
  readonly hostname: string;
  readonly port: number;
}

const TIMEOUT_MS = 2000;

/** The URL of `/readyz` on this machine or in this container. */
export function probeUrl({ hostname, port }: Address): string {
  return `http://${hostOf(hostname)}:${port}/readyz`;
}

/** fetch() is not used because it would ask the proxy of HTTP_PROXY or ALL_PROXY. @throws when nothing answers */
export async function askProbe(address: Address): Promise<{ status: number; text: string }> {
  return await new Promise((resolve, reject) => {
    const request = get(probeUrl(address), { signal: timeOutSignal(TIMEOUT_MS), agent: false }, async (response) => {
      try {
        let text = "";
        for await (const chunk of response.setEncoding("utf8")) text += chunk;
        resolve({ status: response.statusCode ?? 0, text });
      } catch (error) {
        reject(error);
      }
    });
    request.on("error", reject);
  });
}

/** The host at which a listener is reached from the same machine. */
function hostOf(hostname: string): string {
  if (hostname === "" || hostname === "::" || hostname === "0.0.0.0") return "127.0.0.1";
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}
