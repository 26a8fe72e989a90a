// The fields of a header block found in one pass, as numbers in one table: for many messages in a row, where an object for each field would cost
// more than finding it. The same rules as `splitHeader`.
import type { Buffer } from 'node:buffer';
import { lineEnd, lowerCase, maxNameBytes } from './header.js';

/** Names that are looked for; each has a number, its place in the list. */
export class FieldNames {
  readonly names: readonly string[];
  /** Numbers of the names of each length. */
  readonly #byLength: (readonly number[] | undefined)[] = [];

  /** @param names lower-case, each once */
  constructor(names: readonly string[]) {
    this.names = names;
    for (const [number, { length }] of names.entries()) {
      if (length > 0 && length <= maxNameBytes) this.#byLength[length] = [...(this.#byLength[length] ?? []), number];
    }
  }

  /** Number of the name that these octets are, in any case; -1. */
  find(block: Buffer, start: number, end: number): number {
    const length = end - start;
    const numbers = length < this.#byLength.length ? this.#byLength[length] : undefined;
    if (numbers === undefined) return -1;
    for (let index = 0; index < numbers.length; index += 1) {
      const number = numbers[index] as number;
      const name = this.names[number] as string;
      let at = 0;
      while (at < length && lowerCase[block[start + at] as number] === name.charCodeAt(at)) at += 1;
      if (at === length) return number;
    }
    return -1;
  }
}

const columns = 4;

/** Wanted fields of one header block in message order. All offsets count from the start of the block. */
export class FieldTable {
  count = 0;
  /** Of each field: number of its name, start, start of the value behind the colon, end behind its last line end. */
  #cells = new Int32Array(columns * 64);

  nameAt(index: number): number {
    return this.#cells[index * columns] as number;
  }
  startAt(index: number): number {
    return this.#cells[index * columns + 1] as number;
  }
  valueAt(index: number): number {
    return this.#cells[index * columns + 2] as number;
  }
  endAt(index: number): number {
    return this.#cells[index * columns + 3] as number;
  }

  add(name: number, start: number, value: number, end: number): void {
    const at = this.count * columns;
    if (at === this.#cells.length) {
      const grown = new Int32Array(at * 2);
      grown.set(this.#cells);
      this.#cells = grown;
    }
    const cells = this.#cells;
    cells[at] = name;
    cells[at + 1] = start;
    cells[at + 2] = value;
    cells[at + 3] = end;
    this.count += 1;
  }
}

/**
 * Fills `table` with the fields of the block that `names` has.
 * @returns where the body begins, behind the empty line; the length of the block when there is none
 */
export function scanHeader(block: Buffer, names: FieldNames, table: FieldTable): number {
  const size = block.length;
  table.count = 0;
  let at = 0;
  while (at < size) {
    const first = block[at];
    if (first === 0x0a) return at + 1;
    if (first === 0x0d && block[at + 1] === 0x0a) return at + 2;
    const start = at;
    let colon = start;
    while (colon < size && block[colon] !== 0x3a && block[colon] !== 0x0a) colon += 1;
    at = lineEnd(block, colon);
    while (at < size && (block[at] === 0x20 || block[at] === 0x09)) at = lineEnd(block, at);
    if (block[colon] !== 0x3a || colon - start >= maxNameBytes || first === 0x20 || first === 0x09) continue;
    let nameEnd = colon;
    while (nameEnd > start && (block[nameEnd - 1] === 0x20 || block[nameEnd - 1] === 0x09)) nameEnd -= 1;
    const name = names.find(block, start, nameEnd);
    if (name >= 0) table.add(name, start, colon + 1, at);
  }
  return size;
}
