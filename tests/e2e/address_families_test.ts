/**
 * Redis, PostgreSQL and the User Service under a name with an IPv4 and an IPv6 address, one of which refuses or does
 * not answer: the service uses the other.
 */
import assert from "node:assert/strict";
import { verdicts } from "../support/outcome.ts";
import { openRig } from "../support/rig.ts";
import { ADDRESSES, type Death, type Family, HOST, prefixFor, TwoFamilies } from "../support/two_families.ts";

const prefix = await prefixFor(await Deno.makeTempFile({ prefix: "hosts-" }));
const ignore = prefix === undefined || !hasIpv6();

for (const dead of Object.keys(ADDRESSES) as Family[]) {
  for (const death of ["refuses", "is silent"] satisfies Death[]) {
    const name = `a name whose ${dead} address ${death} works by the other`;
    Deno.test({ name: ignore ? `${name} NOT RUN: no mount namespace or no IPv6` : name, ignore }, async () => {
      await using families = new TwoFamilies();
      await using rig = await openRig();
      const { redis, postgres, users } = {
        redis: await families.open(rig.keySpace.port, { dead, death }),
        postgres: await families.open(Number(new URL(rig.dsn).port), { dead, death }),
        users: await families.open(Number(new URL(rig.users.baseUrl).port), { dead, death }),
      };
      const dsn = new URL(rig.env["NOTIFICATION_POSTGRES_PRIMARY_DSN"] ?? rig.dsn);
      const service = await rig.spawn({
        NOTIFICATION_REDIS_MASTER_ADDR: `${HOST}:${redis}`,
        NOTIFICATION_POSTGRES_PRIMARY_DSN: Object.assign(dsn, { hostname: HOST, port: String(postgres) }).href,
        NOTIFICATION_USER_SERVICE_BASE_URL: `http://${HOST}:${users}`,
      }, { prefix: prefix! });
      await service.ready();
      const entryIds = await Promise.all(Array.from({ length: 20 }, () => rig.addIntent()));
      await rig.settled();
      assert.deepEqual(await verdicts(rig, entryIds), entryIds.map(() => "accepted"));
      assert.deepEqual(
        service.logs.filter(({ dependency, level }) => dependency !== undefined || level === "error"),
        [],
      );
      assert.equal((await service.terminate()).code, 0);
    });
  }
}

/** Some containers have none. */
function hasIpv6(): boolean {
  try {
    Deno.listen({ hostname: ADDRESSES.IPv6, port: 0 }).close();
    return true;
  } catch {
    return false;
  }
}
