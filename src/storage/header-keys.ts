// Header fields as SEARCH compares them, kept between searches: who searches a mailbox by subject or sender searches again, often with one letter
// more. A message never changes, so what is known of a UID stays true for as long as UIDVALIDITY does.

import { bytesOf, insertBlock, type KeyBlock } from './key-blocks.js';

/** What is known of one field, by UID. */
export interface FieldKeys {
  /** The keys (`searchKey`) of all fields of the name, a line each; null: no such field. Undefined: not known. */
  get(uid: number): string | null | undefined;
  /** @returns false when there is no room for it */
  set(uid: number, key: string | null): boolean;
  /** What is known of many messages at once, ascending. */
  readonly blocks: readonly KeyBlock[];
  /** @param block about messages that no other block is about. @returns false when there is no room for it */
  addBlock(block: KeyBlock): boolean;
}

/** Octets, estimated: 100,000 subjects and as many senders. */
const maxBytes = 32 * 1024 * 1024;
const maxFields = 32;
/** What an entry costs beside its characters. */
const entryBytes = 64;

/** Octets of all fields together. */
interface Account {
  bytes: number;
  readonly maxBytes: number;
}

/** Of what was given up while somebody still used it. */
const closedAccount: Account = { bytes: 0, maxBytes: 0 };

/** Those of one mailbox, for as long as it is loaded. */
export class HeaderKeys {
  readonly #account: Account;
  /** Least recently searched first. */
  readonly #fields = new Map<string, StoredKeys>();
  #uidValidity = 0;

  constructor(limit = maxBytes) {
    this.#account = { bytes: 0, maxBytes: limit };
  }

  /** @param field lower-case */
  of(field: string, uidValidity: number): FieldKeys {
    if (uidValidity !== this.#uidValidity) this.clear();
    this.#uidValidity = uidValidity;
    const keys = this.#fields.get(field) ?? new StoredKeys(this.#account, (bytes) => this.#makeRoom(field, bytes));
    this.#fields.delete(field);
    const [oldest] = this.#fields.keys();
    if (oldest !== undefined && this.#fields.size >= maxFields) this.#giveUp(oldest);
    this.#fields.set(field, keys);
    return keys;
  }

  clear(): void {
    for (const field of [...this.#fields.keys()]) this.#giveUp(field);
  }

  /** Gives up other fields, the least recently searched first. @returns false when that is not enough */
  #makeRoom(field: string, bytes: number): boolean {
    const account = this.#account;
    for (const name of this.#fields.keys()) {
      if (account.bytes + bytes <= account.maxBytes) return true;
      if (name !== field) this.#giveUp(name);
    }
    return account.bytes + bytes <= account.maxBytes;
  }

  #giveUp(field: string): void {
    this.#fields.get(field)?.close();
    this.#fields.delete(field);
  }
}

class StoredKeys implements FieldKeys {
  #bytes = 0;
  #account: Account;
  readonly #keys = new Map<number, string | null>();
  readonly blocks: KeyBlock[] = [];
  readonly #makeRoom: (bytes: number) => boolean;

  constructor(account: Account, makeRoom: (bytes: number) => boolean) {
    this.#account = account;
    this.#makeRoom = makeRoom;
  }

  get(uid: number): string | null | undefined {
    return this.#keys.get(uid);
  }

  set(uid: number, key: string | null): boolean {
    if (this.#keys.has(uid)) return true;
    if (!this.#take(entryBytes + (key === null ? 0 : key.length * 2))) return false;
    this.#keys.set(uid, key);
    return true;
  }

  addBlock(block: KeyBlock): boolean {
    if (!this.#take(bytesOf(block))) return false;
    insertBlock(this.blocks, block);
    return true;
  }

  #take(bytes: number): boolean {
    const account = this.#account;
    if (account.bytes + bytes > account.maxBytes && (account === closedAccount || !this.#makeRoom(bytes))) return false;
    this.#bytes += bytes;
    account.bytes += bytes;
    return true;
  }

  /** What is there can still be read; nothing more is taken. */
  close(): void {
    this.#account.bytes -= this.#bytes;
    this.#account = closedAccount;
  }
}
