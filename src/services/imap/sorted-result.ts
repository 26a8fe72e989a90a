// The order of a sorted result that a client keeps up to date (RFC 5267 4.3.3, 4.3.4): where a message is, comes or goes.
import type { SortCriterion } from '#protocol/imap/commands/sort.js';
import { keyComparator, type SortKeys } from './sort-messages.js';

/** Results with more messages than this are not kept in order: each costs its sort keys. */
export const maxSortedMessages = 50_000;

export class SortedResult {
  readonly criteria: readonly SortCriterion[];
  readonly #compare: (a: SortKeys, b: SortKeys) => number;
  readonly #keys = new Map<number, SortKeys>();
  /** UIDs in order. */
  readonly #order: number[] = [];

  /** @param entries in the order of the result */
  constructor(criteria: readonly SortCriterion[], entries: Iterable<readonly [uid: number, keys: SortKeys]>) {
    this.criteria = criteria;
    this.#compare = keyComparator(criteria);
    for (const [uid, keys] of entries) {
      this.#order.push(uid);
      this.#keys.set(uid, keys);
    }
  }

  get isFull(): boolean {
    return this.#order.length >= maxSortedMessages;
  }

  /** @returns the position it had, from 1 on; 0 when it was not there */
  remove(uid: number): number {
    const keys = this.#keys.get(uid);
    if (keys === undefined) return 0;
    const index = this.#placeOf(uid, keys);
    this.#order.splice(index, 1);
    this.#keys.delete(uid);
    return index + 1;
  }

  /** @returns the position it has now, from 1 on */
  insert(uid: number, keys: SortKeys): number {
    const index = this.#placeOf(uid, keys);
    this.#order.splice(index, 0, uid);
    this.#keys.set(uid, keys);
    return index + 1;
  }

  /** Index of the first message that is not in front of this one. */
  #placeOf(uid: number, keys: SortKeys): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#order[middle] ?? 0;
      const order = this.#compare(this.#keys.get(other) ?? [], keys) || other - uid;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
