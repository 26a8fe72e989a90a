import type { Levels } from './name.js';

/** Tells watchers, later, which mailboxes came or went. */
export class ChangeNames {
  readonly #watchers = new Set<(levels: Levels) => void>();

  watch(onChange: (levels: Levels) => void): () => void {
    const watcher = (levels: Levels): void => onChange(levels);
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  changed(levels: Levels): void {
    if (this.#watchers.size === 0) return;
    setImmediate(() => {
      for (const watcher of [...this.#watchers]) if (this.#watchers.has(watcher)) watcher(levels);
    });
  }
}
