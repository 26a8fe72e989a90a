// Mutual exclusion inside one process. First come, first served.

/** Releases what was acquired; more than one call does nothing. */
export type Release = () => void;

/** One holder at a time; waiters are served in order and may give up through their signal. */
export class Mutex {
  #isHeld = false;
  readonly #waiters: (() => void)[] = [];

  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** Without waiting. @returns undefined while somebody holds it */
  acquireNow(): Release | undefined {
    if (this.#isHeld) return undefined;
    this.#isHeld = true;
    return this.#releaser();
  }

  /** @throws the signal's reason when it aborts before the lock is held */
  acquire(signal?: AbortSignal): Promise<Release> {
    signal?.throwIfAborted();
    const release = this.acquireNow();
    if (release !== undefined) return Promise.resolve(release);
    return new Promise((resolve, reject) => {
      const wake = (): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve(this.#releaser());
      };
      const onAbort = (): void => {
        const index = this.#waiters.indexOf(wake);
        if (index >= 0) this.#waiters.splice(index, 1);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiters.push(wake);
    });
  }

  async run<T>(work: () => Promise<T> | T, signal?: AbortSignal): Promise<T> {
    const release = await this.acquire(signal);
    try {
      return await work();
    } finally {
      release();
    }
  }

  #releaser(): Release {
    let isReleased = false;
    return () => {
      if (isReleased) return;
      isReleased = true;
      const next = this.#waiters.shift();
      if (next === undefined) this.#isHeld = false;
      else next();
    };
  }
}

/** A mutex per key; keys nobody holds or waits for cost nothing. */
export class KeyedMutex {
  readonly #entries = new Map<string, { readonly mutex: Mutex; users: number }>();

  get size(): number {
    return this.#entries.size;
  }

  async acquire(key: string, signal?: AbortSignal): Promise<Release> {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { mutex: new Mutex(), users: 0 };
      this.#entries.set(key, entry);
    }
    const held = entry;
    held.users += 1;
    const leave = (): void => {
      held.users -= 1;
      if (held.users === 0) this.#entries.delete(key);
    };
    try {
      const release = await held.mutex.acquire(signal);
      let isReleased = false;
      return () => {
        if (isReleased) return;
        isReleased = true;
        release();
        leave();
      };
    } catch (error) {
      leave();
      throw error;
    }
  }

  async run<T>(key: string, work: () => Promise<T> | T, signal?: AbortSignal): Promise<T> {
    const release = await this.acquire(key, signal);
    try {
      return await work();
    } finally {
      release();
    }
  }
}
