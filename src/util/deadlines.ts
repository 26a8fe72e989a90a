// Deadlines that are all equally far away, and that hardly ever come: replies that are waited for. A timer of its own for each would cost several
// times what the wait costs, so all share one, which is looked after when it fires.

/** One of them. */
export interface Deadline {
  /** Idempotent. */
  cancel(): void;
}

class Entry<Item> implements Deadline {
  readonly dueAtMs: number;
  /** Undefined once it was cancelled or has come: what waits shall not be held by a list. */
  item: Item | undefined;

  constructor(item: Item, dueAtMs: number) {
    this.item = item;
    this.dueAtMs = dueAtMs;
  }

  cancel(): void {
    this.item = undefined;
  }
}

/** Cancelled entries that are kept, at least; beyond it no more than there are others. */
const keptEntries = 64;

export class Deadlines<Item extends object> {
  readonly #delayMs: number;
  readonly #onDue: (item: Item) => void;
  /** In the order in which they come. */
  #entries: Entry<Item>[] = [];
  #cleanAt = keptEntries;
  #timer: NodeJS.Timeout | undefined;

  /** Does not keep the process alive. */
  constructor(delayMs: number, onDue: (item: Item) => void) {
    this.#delayMs = delayMs;
    this.#onDue = onDue;
  }

  add(item: Item): Deadline {
    if (this.#entries.length >= this.#cleanAt) this.#clean();
    const entry = new Entry(item, performance.now() + this.#delayMs);
    this.#entries.push(entry);
    if (this.#timer === undefined) this.#arm(entry.dueAtMs, this.#delayMs);
    return entry;
  }

  /** Entries, the cancelled ones that are still kept included; for tests. */
  get length(): number {
    return this.#entries.length;
  }

  #arm(dueAtMs: number, inMs: number): void {
    this.#timer = setTimeout(() => this.#look(dueAtMs), inMs).unref();
  }

  /** @param armedForMs has passed, whatever the other clock says */
  #look(armedForMs: number): void {
    this.#timer = undefined;
    const nowMs = Math.max(armedForMs, performance.now());
    this.#clean();
    const waiting = this.#entries.findIndex(({ dueAtMs }) => dueAtMs > nowMs);
    const due = this.#entries.splice(0, waiting < 0 ? this.#entries.length : waiting);
    const [next] = this.#entries;
    if (next !== undefined) this.#arm(next.dueAtMs, next.dueAtMs - nowMs);
    for (const entry of due) {
      const { item } = entry;
      // One that came before may have cancelled it.
      if (item === undefined) continue;
      entry.cancel();
      this.#onDue(item);
    }
  }

  #clean(): void {
    this.#entries = this.#entries.filter(({ item }) => item !== undefined);
    this.#cleanAt = Math.max(keptEntries, this.#entries.length * 2);
  }
}
