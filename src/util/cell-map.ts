// A Map for entries that come and go all the time.
//
// When V8's Map (and Set) has used up its table it makes another one, and the old table keeps its entries and points to the new one. Once a table
// has grown old with the process, which the next full collection makes of the one in use, every later table hangs on it, and every entry on those: what
// was removed long ago survives each small collection, is copied twice, and goes with the next full one. For a process that serves hundreds of
// connections a second that is the largest part of its garbage collection. Here the tables hold cells, which are emptied when their entry is removed.

interface Cell<Value> {
  value: Value | undefined;
}

export class CellMap<Key extends string | number, Value> {
  readonly #cells = new Map<Key, Cell<Value>>();

  get size(): number {
    return this.#cells.size;
  }

  has(key: Key): boolean {
    return this.#cells.has(key);
  }

  get(key: Key): Value | undefined {
    return this.#cells.get(key)?.value;
  }

  set(key: Key, value: Value): void {
    const cell = this.#cells.get(key);
    if (cell === undefined) this.#cells.set(key, { value });
    else cell.value = value;
  }

  /** @returns what was there */
  take(key: Key): Value | undefined {
    const cell = this.#cells.get(key);
    if (cell === undefined) return undefined;
    const { value } = cell;
    cell.value = undefined;
    this.#cells.delete(key);
    return value;
  }

  /** All entries in order of insertion, removed. */
  takeAll(): (readonly [Key, Value])[] {
    const all = this.entries();
    for (const [key] of all) this.take(key);
    return all;
  }

  /** A copy, in order of insertion. */
  entries(): (readonly [Key, Value])[] {
    const all: (readonly [Key, Value])[] = [];
    for (const [key, { value }] of this.#cells) if (value !== undefined) all.push([key, value]);
    return all;
  }
}
