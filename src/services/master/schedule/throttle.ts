// When a service may not start processes because they keep failing: 2 s, doubling to 60 s. While throttled, connections queue in the
// listeners' backlog.

const firstThrottleMs = 2_000;
const longestThrottleMs = 60_000;
/** More failures than this within a second throttle, too, unless a process ended well meanwhile. */
const maxFailuresPerSecond = 10;
/** A process that lived this long did its work, whatever its end. */
export const matureMs = 10_000;

export class Throttle {
  #untilMs = Number.NEGATIVE_INFINITY;
  #lastMs = 0;
  /** What is being doubled came from processes that did not even start. */
  #isForStarts = false;
  #secondStartMs = Number.NEGATIVE_INFINITY;
  #failures = 0;

  isActive(nowMs: number): boolean {
    return nowMs < this.#untilMs;
  }

  get untilMs(): number {
    return this.#untilMs;
  }

  /** A process ended well, or has proved to work: the next failure starts at the shortest time again. */
  reset(): void {
    this.#lastMs = 0;
    this.#failures = 0;
  }

  /**
   * A process has started, so starts do not keep failing: the next one that does waits the shortest time again. Processes that start and
   * then crash are another matter, which only `reset` ends.
   */
  started(): void {
    if (this.#isForStarts) this.#lastMs = 0;
  }

  /**
   * A process ended badly.
   * @returns time to wait when this failure starts one, undefined otherwise
   */
  fail(nowMs: number, process: { readonly wasReady: boolean; readonly ageMs: number }): number | undefined {
    if (process.wasReady) {
      if (process.ageMs >= matureMs) return undefined;
      if (nowMs - this.#secondStartMs >= 1_000) {
        this.#secondStartMs = nowMs;
        this.#failures = 0;
      }
      this.#failures += 1;
      if (this.#failures <= maxFailuresPerSecond) return undefined;
    }
    // Processes that were started before the service was throttled are part of the failure that throttled it.
    if (this.isActive(nowMs)) return undefined;
    this.#lastMs = this.#lastMs === 0 ? firstThrottleMs : Math.min(longestThrottleMs, this.#lastMs * 2);
    this.#isForStarts = !process.wasReady;
    this.#untilMs = nowMs + this.#lastMs;
    this.#failures = 0;
    return this.#lastMs;
  }
}
