// One slow operation at a time for many callers (fsync of a folder): a caller that comes while it runs joins the next run, because the
// running one may have started before the caller's change was made.

export class SharedRun {
  readonly #work: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  get isIdle(): boolean {
    return this.#running === undefined;
  }

  /** Resolves when a run that started after this call has ended. */
  request(): Promise<void> {
    if (this.#running === undefined) return this.#start();
    this.#next ??= this.#running.then(
      () => this.#start(),
      () => this.#start(),
    );
    return this.#next;
  }

  #start(): Promise<void> {
    this.#next = undefined;
    const run = this.#work();
    const ended = (): void => {
      if (this.#running === run) this.#running = undefined;
    };
    // Before whoever waits goes on: it was the first to ask.
    run.then(ended, ended);
    this.#running = run;
    return run;
  }
}
