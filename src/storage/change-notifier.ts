import { Roster } from '#util/roster.js';

interface Watcher {
  onChange: (() => void) | undefined;
}

/** Calls watchers back later, once for all changes that come together; never from inside `changed`. */
export class ChangeNotifier {
  readonly #watchers = new Roster<Watcher>();
  #isScheduled = false;

  /** @returns stop watching; idempotent */
  watch(onChange: () => void): () => void {
    const watcher: Watcher = { onChange };
    this.#watchers.add(watcher);
    return () => {
      watcher.onChange = undefined;
      this.#watchers.delete(watcher);
    };
  }

  changed(): void {
    if (this.#isScheduled || this.#watchers.size === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      // One that another has stopped in between is not called any more.
      for (const watcher of [...this.#watchers]) watcher.onChange?.();
    });
  }
}
