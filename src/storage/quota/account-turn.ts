// One after the other, in all processes: who takes the last room of an account looks and saves without anybody else doing the same in between.

import { DotLockError, takeDotLock } from '#util/dot-lock.js';
import { Mutex } from '#util/keyed-mutex.js';
import { asStorageError, defaultLockTimeoutMs } from '../list/locked-rewrite.js';

export class AccountTurn {
  readonly #path: string;
  readonly #lockTimeoutMs: number;
  /** Sessions of this process wait for each other without polling. */
  readonly #mutex = new Mutex();

  /** @param path its dot lock is taken; there need not be such a file */
  constructor(path: string, lockTimeoutMs = defaultLockTimeoutMs) {
    this.#path = path;
    this.#lockTimeoutMs = lockTimeoutMs;
  }

  /**
   * Where no lock can be made (a folder that may not be written, or is not there yet), the turn is one in this process.
   * @throws StorageError `in-use` when the lock is not free in time
   */
  async take(signal: AbortSignal): Promise<Disposable> {
    const release = await this.#mutex.acquire(signal);
    try {
      const lock = await takeDotLock(this.#path, { timeoutMs: this.#lockTimeoutMs }, signal);
      return {
        [Symbol.dispose]: () => {
          lock.release();
          release();
        },
      };
    } catch (error) {
      if (!(error instanceof DotLockError) && !signal.aborted) return { [Symbol.dispose]: release };
      release();
      signal.throwIfAborted();
      throw asStorageError(error, this.#path);
    }
  }
}
