// Keywords of one mailbox. Names compare without ASCII case and keep their first spelling; a set of keywords is interned, so that equal
// sets are one array object that callers may cache by identity.
import { StorageError } from './errors.js';

export interface KeywordLimits {
  /** Distinct keywords in one mailbox. */
  readonly maxKeywords: number;
  /** Octets of one keyword (mail_max_keyword_length). */
  readonly maxLength: number;
}

const emptySet: readonly string[] = Object.freeze([]);

export class KeywordTable {
  readonly #limits: KeywordLimits;
  readonly #names: string[] = [];
  readonly #indexByFolded = new Map<string, number>();
  readonly #sets = new Map<string, readonly string[]>();

  constructor(limits: KeywordLimits) {
    this.#limits = limits;
  }

  /** First-used spellings, in order of first use. */
  get names(): readonly string[] {
    return this.#names;
  }

  get canCreate(): boolean {
    return this.#names.length < this.#limits.maxKeywords;
  }

  /** The keyword in its first spelling, or undefined when it is not known here. */
  find(keyword: string): string | undefined {
    const index = this.#indexByFolded.get(foldKeyword(keyword));
    return index === undefined ? undefined : this.#names[index];
  }

  /** @throws StorageError `limit` when one of them is too long or there would be too many; nothing is created then */
  checkCreatable(keywords: readonly string[]): void {
    const created = new Set<string>();
    for (const keyword of keywords) {
      const folded = foldKeyword(keyword);
      if (this.#indexByFolded.has(folded)) continue;
      if (Buffer.byteLength(keyword) > this.#limits.maxLength) {
        throw new StorageError('limit', `keyword of ${Buffer.byteLength(keyword)} octets`, { clientText: 'Keyword length too long' });
      }
      created.add(folded);
    }
    if (this.#names.length + created.size > this.#limits.maxKeywords && created.size > 0) {
      throw new StorageError('limit', `more than ${this.#limits.maxKeywords} keywords`, {
        clientText: 'Maximum number of keywords reached',
      });
    }
  }

  /** Those of the keywords that are known or can still be created. */
  creatable(keywords: readonly string[]): readonly string[] {
    let free = this.#limits.maxKeywords - this.#names.length;
    return keywords.filter((keyword) => {
      if (this.#indexByFolded.has(foldKeyword(keyword))) return true;
      if (Buffer.byteLength(keyword) > this.#limits.maxLength || free <= 0) return false;
      free -= 1;
      return true;
    });
  }

  /** The interned set of these keywords, new ones created: call `checkCreatable` or `creatable` first. */
  intern(keywords: readonly string[]): readonly string[] {
    if (keywords.length === 0) return emptySet;
    return this.#internIndexes(new Set(keywords.map((keyword) => this.#indexOf(keyword))));
  }

  /** `set` with the keywords added; new ones are created. */
  add(set: readonly string[], keywords: readonly string[]): readonly string[] {
    return keywords.length === 0 ? set : this.intern([...set, ...keywords]);
  }

  /** `set` without the keywords; nothing is created. */
  remove(set: readonly string[], keywords: readonly string[]): readonly string[] {
    if (keywords.length === 0 || set.length === 0) return set;
    const gone = new Set(keywords.map(foldKeyword));
    return this.intern(set.filter((keyword) => !gone.has(foldKeyword(keyword))));
  }

  #indexOf(keyword: string): number {
    const folded = foldKeyword(keyword);
    const known = this.#indexByFolded.get(folded);
    if (known !== undefined) return known;
    this.#names.push(keyword);
    this.#indexByFolded.set(folded, this.#names.length - 1);
    return this.#names.length - 1;
  }

  #internIndexes(indexes: ReadonlySet<number>): readonly string[] {
    const sorted = [...indexes].sort((a, b) => a - b);
    const key = sorted.join(',');
    const known = this.#sets.get(key);
    if (known !== undefined) return known;
    const set = Object.freeze(sorted.map((index) => this.#names[index] ?? ''));
    this.#sets.set(key, set);
    return set;
  }
}

/** ASCII only: IMAP keywords are atoms (RFC 9051 9). */
export function foldKeyword(keyword: string): string {
  return keyword.replace(/[A-Z]+/g, (upper) => upper.toLowerCase());
}
