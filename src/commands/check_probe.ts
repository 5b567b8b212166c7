/** The probe's address → whether `run` could listen there. Answers no requests meanwhile. */
import type { Config } from "../config/config.ts";
import { askProbe } from "../probe/ask.ts";
import { tryProbeAddress } from "../probe/listener.ts";
import { bad, type Finding, good } from "./finding.ts";

export async function checkProbe(address: Config["probe"]): Promise<Finding> {
  const shown = `${address.hostname}:${address.port}`;
  try {
    tryProbeAddress(address);
    return good("probe", `can listen on ${shown}`);
  } catch (error) {
    if (await isOurs(address)) {
      return good("probe", `an instance listens on ${shown}; a second one here needs another address`);
    }
    return bad(
      "probe",
      `can't listen on ${shown}: ${(error as Error).message}`,
      "let NOTIFICATION_INTERNAL_HTTP_ADDR be a free address",
    );
  }
}

/** Whether an instance listens there, for example when `check` runs beside the service. */
async function isOurs(address: Config["probe"]): Promise<boolean> {
  try {
    return (await askProbe(address)).text === '{"status":"ready"}';
  } catch {
    return false; // another program listens there
  }
}
