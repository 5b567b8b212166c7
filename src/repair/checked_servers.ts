/**
 * Which servers this process has checked for losses. A server is used for accepting, claiming and publishing only after
 * its check.
 *
 * Each new connection recognises another PostgreSQL (`Session.server`), the hand-off script another Redis
 * (`redis/epoch.ts`). Both only note here that a check is needed, and wake the repair loop, which does it.
 */
import { Wake } from "../relay/wake.ts";

export class CheckedServers {
  /** Wakes the repair loop. */
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

  /**
   * Whether connections to this PostgreSQL may be used. Before the first check, which runs before the loops start, all
   * may.
   */
  admits(server: string): boolean {
    if (this.#postgres === undefined || server === this.#postgres) return true;
    this.#isPostgresDue = true;
    this.wake.ring();
    return false;
  }

  /** Call this when Redis has, or may have, another epoch than the one that was checked. */
  doubtRedis(): void {
    this.#isRedisDue = true;
    this.wake.ring();
  }

  /** Call this before the check: a doubt that arises during the check is kept. */
  redisCheckBegins(): void {
    this.#isRedisDue = false;
  }

  postgresChecked(server: string): void {
    this.#postgres = server;
    this.#isPostgresDue = false;
  }
}
