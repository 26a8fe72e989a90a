// Usage of an account: who keeps it, and the room promised beyond it.
import { Mutex } from '#util/keyed-mutex.js';

export interface UsageCount {
  readonly bytes: number;
  readonly messages: number;
}

/**
 * Room that saves under way have been promised, so that two of them are not given the same octets. It is shared by all sessions of the process
 * that share a usage. Other processes' saves are seen once they are in the mailbox: near the limit everything is counted before a save is let in, and
 * once more, in the account's turn among all processes, before its messages get their names.
 */
export class HeldRoom {
  /** Checks and additions take turns: what is added and let go in one turn is never counted twice, nor missed. */
  readonly turns = new Mutex();
  #bytes = 0;
  #messages = 0;
  #version = 0;
  readonly #waiting = new Set<() => void>();

  get held(): UsageCount {
    return { bytes: this.#bytes, messages: this.#messages };
  }

  /** Changes when room is let go. */
  get version(): number {
    return this.#version;
  }

  hold({ bytes, messages }: UsageCount): void {
    this.#bytes += bytes;
    this.#messages += messages;
  }

  letGo({ bytes, messages }: UsageCount): void {
    this.#bytes -= bytes;
    this.#messages -= messages;
    this.#version += 1;
    for (const wake of [...this.#waiting]) wake();
  }

  /** @returns true when room was let go since `version`, at the latest after `waitMs`; else false */
  async changedSince(version: number, waitMs: number): Promise<boolean> {
    if (this.#version !== version) return true;
    if (waitMs <= 0) return false;
    return new Promise((resolve) => {
      const done = (hasChanged: boolean): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve(hasChanged);
      };
      const wake = (): void => done(true);
      const timer = setTimeout(() => done(false), waitMs);
      this.#waiting.add(wake);
    });
  }
}

/** Where the usage of an account is kept. */
export interface UsageBackend {
  readonly room: HeldRoom;
  /** May lag a few seconds behind what other processes do. */
  usage(signal: AbortSignal): Promise<UsageCount>;
  /** With what other processes have done until now. */
  currentUsage(signal: AbortSignal): Promise<UsageCount>;
  /** The same, without trusting what was counted before. */
  recount(signal: AbortSignal): Promise<UsageCount>;
  /** What was counted is no longer true: count when asked next. */
  forget(): Promise<void>;
  /** After messages came (positive) or went (negative). */
  add(bytes: number, messages: number): Promise<void>;
}
