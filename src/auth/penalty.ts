// Delays logins from addresses that failed lately. The values live in anvil, so that they outlast this process.
import { isIPv6 } from 'node:net';
import { LRUCache } from 'lru-cache';

const maxPenalty = 4;
const maxDelaySeconds = 15;
/** A penalty this old counts no more, seconds. */
const forgottenAfterSeconds = 15;
const maxKnown = 10_000;

export interface PenaltyStore {
  penalty(address: string): Promise<{ readonly value: number; readonly lastSeconds: number }>;
  setPenalty(address: string, checksum: number, value: number): void;
}

/** What counts as one client: the address, or the /48 of an IPv6 one. */
export function penaltyAddress(ip: string): string {
  if (!isIPv6(ip) || ip.toLowerCase().startsWith('::ffff:')) return ip;
  const [head = '', tail] = ip.split('::');
  const groups = head === '' ? [] : head.split(':');
  const missing = tail === undefined ? 0 : 8 - groups.length - (tail === '' ? 0 : tail.split(':').length);
  const first = [...groups, ...Array<string>(Math.max(0, missing)).fill('0'), ...(tail ?? '').split(':')].slice(0, 3);
  return `${first.map((group) => Number.parseInt(group || '0', 16).toString(16)).join(':')}::`;
}

/** Delay before a request is looked at: 0, 4, 8, 15, 15 s. */
export function penaltyDelayMs(value: number): number {
  return value <= 0 ? 0 : Math.min(2 * 2 ** value, maxDelaySeconds) * 1000;
}

export class Penalties {
  readonly #store: PenaltyStore;
  readonly #nowMs: () => number;
  /** This process is the only one that sets penalties, so what it has read stays true until it changes it: one question per address, not per login. */
  readonly #known = new LRUCache<string, { readonly value: number; readonly lastSeconds: number }>({ max: maxKnown });

  constructor(store: PenaltyStore, nowMs: () => number) {
    this.#store = store;
    this.#nowMs = nowMs;
  }

  /** Current penalty of a client, 0 to 4. */
  async current(ip: string): Promise<number> {
    if (ip === '') return 0;
    const address = penaltyAddress(ip);
    const { value, lastSeconds } = this.#known.get(address) ?? (await this.#store.penalty(address));
    this.#known.set(address, { value, lastSeconds });
    return this.#nowMs() / 1000 - lastSeconds >= forgottenAfterSeconds ? 0 : Math.min(value, maxPenalty);
  }

  /** @param tried user and password: the same again does not raise the penalty */
  failed(ip: string, before: number, tried: string): void {
    if (ip !== '') this.#set(penaltyAddress(ip), crc32(Buffer.from(tried)), Math.min(before + 1, maxPenalty));
  }

  succeeded(ip: string, before: number): void {
    if (ip !== '' && before !== 0) this.#set(penaltyAddress(ip), 0, 0);
  }

  #set(address: string, checksum: number, value: number): void {
    // anvil decides whether the value changes, so it is asked again.
    this.#known.delete(address);
    this.#store.setPenalty(address, checksum, value);
  }
}

/** CRC-32 (IEEE 802.3). */
export function crc32(octets: Buffer): number {
  let crc = 0xffff_ffff;
  for (const octet of octets) {
    crc ^= octet;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb8_8320 : crc >>> 1;
  }
  return (crc ^ 0xffff_ffff) >>> 0;
}
