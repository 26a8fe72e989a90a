/** A heavy command works at most this long before other connections get their turn. */
const maxSliceMs = 8;

/** Tells when to give way to the event loop. */
export class TimeSlice {
  #startedAt = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#startedAt >= maxSliceMs;
  }

  /** Lets other work run, then starts a new slice. */
  async giveWay(): Promise<void> {
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#startedAt = performance.now();
  }
}
