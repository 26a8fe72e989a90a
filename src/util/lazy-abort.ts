// An AbortController that is made when somebody asks for its signal. Making one costs more than most of what waits on it, and most sessions end
// without having waited for anything.
import { setMaxListeners } from 'node:events';

export class LazyAbort {
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  get isAborted(): boolean {
    return this.#reason !== undefined;
  }

  /** Any number of listeners may wait on it. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      setMaxListeners(0, this.#controller.signal);
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  /** Nothing waits on the signal any more: the next to ask gets another. What still holds the old one hears of nothing. */
  forget(): void {
    if (this.#reason === undefined) this.#controller = undefined;
  }

  /** The first reason holds. */
  abort(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}
