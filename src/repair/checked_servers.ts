/**
 * Which servers this process has checked for losses: a server is not used for accepting, claiming or publishing before that.
 *
 * PostgreSQL is recognised by each new connection (`Session.server`), Redis by the hand-off script (`redis/epoch.ts`). Both only note
 * here that there is something to check, and wake the repair loop, which does it.
 */
import { Wake } from "../relay/wake.ts";

export class CheckedServers {
  /** Of the repair loop. */
  readonly wake = new Wake();
  #postgres: string | undefined;
  #isPostgresDue = true;
  #isRedisDue = true;

  get isPostgresDue(): boolean {
    return this.#isPostgresDue;
  }

  get isRedisDue(): boolean {
    return this.#isRedisDue;
  }

  /** Whether connections to this PostgreSQL may be used: before the first check, which comes before the loops, all may. */
  admits(server: string): boolean {
    if (this.#postgres === undefined || server === this.#postgres) return true;
    this.#isPostgresDue = true;
    this.wake.ring();
    return false;
  }

  /** Redis has another epoch than the one that was checked, or may have. */
  doubtRedis(): void {
    this.#isRedisDue = true;
    this.wake.ring();
  }

  /** Call this before the check: a doubt that comes meanwhile stays. */
  redisCheckBegins(): void {
    this.#isRedisDue = false;
  }

  postgresChecked(server: string): void {
    this.#postgres = server;
    this.#isPostgresDue = false;
  }
}
