/** The outbound streams, as far as repairs need to know them. */
import type { Channel } from "../notification/route.ts";

export interface OutboundStream {
  readonly channel: Channel;
  readonly stream: string;
}

/** The field of an entry that names its route, `<notification_id>/<route_id>` (docs/contract.md, section 7). */
export const ROUTE_FIELD: Readonly<Record<Channel, string>> = { push: "event_id", email: "delivery_id" };
