/** Calls watchers back later, once for all changes that come together; never from inside `changed`. */
export class ChangeNotifier {
  readonly #watchers = new Set<() => void>();
  #isScheduled = false;

  /** @returns stop watching; idempotent */
  watch(onChange: () => void): () => void {
    const watcher = (): void => onChange();
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  changed(): void {
    if (this.#isScheduled || this.#watchers.size === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      for (const watcher of [...this.#watchers]) if (this.#watchers.has(watcher)) watcher();
    });
  }
}
