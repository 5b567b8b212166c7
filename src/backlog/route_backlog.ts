/**
 * The live routes by channel: how overdue the most overdue one is (a look-up at the beginning of an index, whatever
 * their number), and how many there are (PostgreSQL counts them).
 *
 * Both statements read only `routes_live_idx` and change nothing.
 */
import type pg from "pg";
import type { Channel } from "../notification/route.ts";

type Queryable = Pick<pg.ClientBase, "query">;
export type ByChannel = Readonly<Record<Channel, number>>;

const OLDEST_DUE = `
  SELECT ${byChannel((routes) => `extract(epoch FROM now() - (SELECT min(next_attempt_at) ${routes})) * 1000`)}`;

export const LIVE_ROUTES = `
  SELECT ${byChannel((routes) => `(SELECT count(*) ${routes})`)}`;

/** Milliseconds; 0 if nothing is due. */
export async function oldestDueMs(client: Queryable): Promise<ByChannel> {
  return await selectByChannel(client, "oldest_due", OLDEST_DUE);
}

/** Routes `pending` or `failed`, due or not. */
export async function liveRoutes(client: Queryable): Promise<ByChannel> {
  return await selectByChannel(client, "live_routes", LIVE_ROUTES);
}

function byChannel(valueOf: (routes: string) => string): string {
  const column = (channel: Channel) => {
    const routes = `FROM notification.routes WHERE channel = '${channel}' AND next_attempt_at IS NOT NULL`;
    return `greatest(0, ${valueOf(routes)})::float8 AS ${channel}`;
  };
  return `${column("push")}, ${column("email")}`;
}

async function selectByChannel(client: Queryable, name: string, text: string): Promise<ByChannel> {
  const { rows } = await client.query<ByChannel>({ name, text });
  const { push, email } = rows[0]!;
  return { push: Math.floor(push), email: Math.floor(email) };
}
