// Header fields as SEARCH compares them, kept between searches: who searches a mailbox by subject or sender searches again, often with one letter
// more. A message never changes, so what is known of a UID stays true for as long as UIDVALIDITY does.

/** What is known of one field, by UID. */
export interface FieldKeys {
  /** The keys (`searchKey`) of all fields of the name, a line each; null: no such field. Undefined: not known. */
  get(uid: number): string | null | undefined;
  set(uid: number, key: string | null): void;
}

/** Octets, estimated: 100,000 subjects and as many senders. */
const maxBytes = 32 * 1024 * 1024;
const maxFields = 32;
/** What an entry costs beside its characters. */
const entryBytes = 64;

/** Those of one mailbox, for as long as it is loaded. */
export class HeaderKeys {
  readonly #maxBytes: number;
  /** Least recently searched first. */
  readonly #fields = new Map<string, StoredKeys>();
  #uidValidity = 0;

  constructor(limit = maxBytes) {
    this.#maxBytes = limit;
  }

  /** @param field lower-case */
  of(field: string, uidValidity: number): FieldKeys {
    if (uidValidity !== this.#uidValidity) this.clear();
    this.#uidValidity = uidValidity;
    const keys = this.#fields.get(field) ?? new StoredKeys((bytes) => this.#makeRoom(field, bytes));
    this.#fields.delete(field);
    const [oldest] = this.#fields.keys();
    if (oldest !== undefined && this.#fields.size >= maxFields) this.#fields.delete(oldest);
    this.#fields.set(field, keys);
    return keys;
  }

  clear(): void {
    this.#fields.clear();
  }

  /** Gives up other fields, the least recently searched first. @returns false when that is not enough */
  #makeRoom(field: string, bytes: number): boolean {
    let total = bytes;
    for (const keys of this.#fields.values()) total += keys.bytes;
    for (const [name, keys] of this.#fields) {
      if (total <= this.#maxBytes) return true;
      if (name === field) continue;
      total -= keys.bytes;
      this.#fields.delete(name);
    }
    return total <= this.#maxBytes;
  }
}

class StoredKeys implements FieldKeys {
  bytes = 0;
  readonly #keys = new Map<number, string | null>();
  readonly #mayGrow: (bytes: number) => boolean;

  constructor(mayGrow: (bytes: number) => boolean) {
    this.#mayGrow = mayGrow;
  }

  get(uid: number): string | null | undefined {
    return this.#keys.get(uid);
  }

  set(uid: number, key: string | null): void {
    const bytes = entryBytes + (key === null ? 0 : key.length * 2);
    if (this.#keys.has(uid) || !this.#mayGrow(bytes)) return;
    this.#keys.set(uid, key);
    this.bytes += bytes;
  }
}
