// Files of a listing, by their places in it: most of a million files that are seen for the first time.
import type { Buffer } from 'node:buffer';
import type { NameList } from './name-list.js';

export interface FoundFile {
  readonly fileName: string;
  readonly isInNew: boolean;
}

export interface Listings {
  /** Undefined: new/ was not read, so messages there are taken as present. */
  readonly inNew: NameList | undefined;
  readonly inCur: NameList | undefined;
}

export class FoundFiles {
  length = 0;
  readonly #listings: Listings;
  /** Places in cur/; those in new/ as -1 minus the place. */
  #places = new Int32Array(16);

  constructor(listings: Listings) {
    this.#listings = listings;
  }

  /** @param place in its listing */
  push(place: number, isInNew: boolean): void {
    if (this.length === this.#places.length) {
      const places = new Int32Array(this.length * 2);
      places.set(this.#places);
      this.#places = places;
    }
    this.#places[this.length] = isInNew ? -1 - place : place;
    this.length += 1;
  }

  nameAt(index: number): string {
    const place = this.#places[index] as number;
    const list = place < 0 ? this.#listings.inNew : this.#listings.inCur;
    if (list === undefined) throw new RangeError(`file ${index} is in no listing`);
    return list.at(place < 0 ? -1 - place : place);
  }

  /** Copies the first `length` octets of a name. */
  copyName(index: number, target: Buffer, at: number, length: number): void {
    const place = this.#places[index] as number;
    const list = place < 0 ? this.#listings.inNew : this.#listings.inCur;
    list?.copyTo(place < 0 ? -1 - place : place, target, at, length);
  }

  isInNewAt(index: number): boolean {
    return (this.#places[index] as number) < 0;
  }

  filter(keep: (file: FoundFile) => boolean): FoundFiles {
    const kept = new FoundFiles(this.#listings);
    for (let index = 0; index < this.length; index += 1) {
      if (!keep({ fileName: this.nameAt(index), isInNew: this.isInNewAt(index) })) continue;
      const place = this.#places[index] as number;
      kept.push(place < 0 ? -1 - place : place, place < 0);
    }
    return kept;
  }

  *[Symbol.iterator](): Generator<FoundFile> {
    for (let index = 0; index < this.length; index += 1) yield { fileName: this.nameAt(index), isInNew: this.isInNewAt(index) };
  }
}
