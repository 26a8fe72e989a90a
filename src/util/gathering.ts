// Whether to wait, where some of several calls have ended, until the others have, so that all are answered in one turn of the event loop.
//
// Ten sessions that save a message each have ten calls on the disk that end within some 100 us. Each one's end wakes the event loop, which answers its session
// and sleeps again; the next call of that session then reaches the disk alone, is written with no other, and ends alone. Answered together they stay together: a
// turn serves several, their next calls share blocks and flushes of the device, and a save takes a fifth to a quarter less of the processors. The price is
// that the loop hears nothing else in the meantime, so it must be short, must pay, and is left out where the loop has enough to do: what ends while it is
// busy is gathered anyway.

/** The longest that the event loop hears nothing else, us. */
export const longestGatheringUs = 500;
/** Of the time since the last look the loop must have slept this part. */
const leastSleep = 1 / 16;
/** Looks without waiting after so many vain waits in a row: 2, 4, ... */
const mostPatience = 128;

export class Gathering {
  #lastMs = 0;
  #lastSleptMs = 0;
  /** Waited here, which the loop does not count as sleep. */
  #waitedMs = 0;
  #patience = 1;
  #looksLeft = 0;

  /**
   * @param waiting calls that have not been answered
   * @param nowMs of a clock that does not jump
   * @param sleptMs in all, by the event loop
   * @returns how long to wait for all of them, us; 0: take those that have ended
   */
  limitUs(waiting: number, nowMs: number, sleptMs: number): number {
    const passedMs = nowMs - this.#lastMs;
    const freeMs = sleptMs - this.#lastSleptMs + this.#waitedMs;
    this.#lastMs = nowMs;
    this.#lastSleptMs = sleptMs;
    this.#waitedMs = 0;
    if (waiting < 2 || freeMs < passedMs * leastSleep) return 0;
    if (this.#looksLeft > 0) {
      this.#looksLeft -= 1;
      return 0;
    }
    return longestGatheringUs;
  }

  /** After a wait. @param tookMs how long it was @param isWhole all had ended */
  ended(tookMs: number, isWhole: boolean): void {
    this.#waitedMs = tookMs;
    this.#patience = isWhole ? 1 : Math.min(mostPatience, this.#patience * 2);
    this.#looksLeft = isWhole ? 0 : this.#patience;
  }
}
