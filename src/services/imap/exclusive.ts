/** Runs pieces of work one after the other: what one session writes on its own account must not get between the lines of another reply. */
export class Exclusive {
  #last: Promise<void> = Promise.resolve();

  /** Waits for the work before it, whether that succeeded or not. */
  run(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}
