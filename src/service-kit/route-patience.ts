// How often a connection that one process has not taken is offered to another one.
import { sleep } from '#util/deadline.js';

/** A process may die between the master's answer and the hand-off; where three have, it may be the client who kills them. */
const mostDead = 3;
/** Within the time that a client is let wait for a free process, and the master's answers that may take. */
const patienceMs = 15_000;
const firstPauseMs = 1;
const longestPauseMs = 200;

/**
 * A process that takes clients from listeners of its own, or that a reload has just stopped, may refuse a client that the master has routed to it: it was
 * faster than its message about that. Such refusals cost nothing and say nothing about the client, so they count by time only.
 */
export class RoutePatience {
  readonly #untilMs = performance.now() + patienceMs;
  #dead = 0;
  #pauseMs = 0;

  /**
   * After a failed offer: pauses until the next one should be made.
   * @param isRefused the process is there and takes nobody; otherwise it is gone
   * @returns false: there shall be no other
   */
  async allowsAnother(isRefused: boolean): Promise<boolean> {
    if (!isRefused) {
      this.#dead += 1;
      return this.#dead < mostDead;
    }
    if (performance.now() >= this.#untilMs) return false;
    // The first answer is old news most of the time; then the master has to hear from the process before it can know better.
    if (this.#pauseMs > 0) await sleep(this.#pauseMs);
    this.#pauseMs = Math.min(longestPauseMs, Math.max(firstPauseMs, this.#pauseMs * 2));
    return true;
  }
}
