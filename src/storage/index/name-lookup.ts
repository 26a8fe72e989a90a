// Finds the row of a base name: an open-addressing hash table over the name heap, made for one scan and thrown away after it. For 100,000
// names it takes a few milliseconds and one typed array, where a Map of strings would make 100,000 strings.
import { type Columns, rowBit } from './columns.js';

export class NameLookup {
  readonly #columns: Columns;
  /** Row + 1; 0 is a free slot. */
  readonly #slots: Uint32Array;
  readonly #mask: number;

  constructor(columns: Columns) {
    this.#columns = columns;
    let size = 16;
    while (size < columns.length * 2) size *= 2;
    this.#slots = new Uint32Array(size);
    this.#mask = size - 1;
    const { heap, nameStart, nameLength, extensionLength, bits } = columns;
    for (let row = 0; row < columns.length; row += 1) {
      if (((bits[row] as number) & rowBit.dead) !== 0) continue;
      const start = (nameStart[row] as number) + (extensionLength[row] as number);
      const end = start + (nameLength[row] as number);
      let hash = 0x811c9dc5;
      for (let index = start; index < end; index += 1) hash = Math.imul(hash ^ (heap[index] as number), 0x01000193);
      let slot = (hash ^ (hash >>> 15)) & this.#mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & this.#mask;
      this.#slots[slot] = row + 1;
    }
  }

  /** Row whose base name is the first `length` characters (octets) of `name`; -1. */
  find(name: string, length: number): number {
    let hash = 0x811c9dc5;
    for (let index = 0; index < length; index += 1) hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
    let slot = (hash ^ (hash >>> 15)) & this.#mask;
    for (let entry = this.#slots[slot] as number; entry !== 0; entry = this.#slots[slot] as number) {
      if (isName(this.#columns, entry - 1, name, length)) return entry - 1;
      slot = (slot + 1) & this.#mask;
    }
    return -1;
  }
}

/** Below this many names, looking through the heap costs less than a table. */
export const fewNames = 8;

/** The same without a table, newest first. */
export class LinearLookup {
  readonly #columns: Columns;

  constructor(columns: Columns) {
    this.#columns = columns;
  }

  find(name: string, length: number): number {
    const { nameLength, bits } = this.#columns;
    for (let row = this.#columns.length - 1; row >= 0; row -= 1) {
      if (nameLength[row] === length && ((bits[row] as number) & rowBit.dead) === 0 && isName(this.#columns, row, name, length)) return row;
    }
    return -1;
  }
}

function isName(columns: Columns, row: number, name: string, length: number): boolean {
  const { heap, nameStart, nameLength, extensionLength } = columns;
  if (nameLength[row] !== length) return false;
  const start = (nameStart[row] as number) + (extensionLength[row] as number);
  for (let index = 0; index < length; index += 1) {
    if (heap[start + index] !== name.charCodeAt(index)) return false;
  }
  return true;
}
