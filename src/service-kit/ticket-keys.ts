// Keys of TLS session tickets (RFC 5077 4, RFC 8446 4.6.1) that change while the process runs. Node takes one key set when a context is made; to
// accept tickets of the previous one as well, a context asks for the key of each ticket.
//
// A key set is 48 octets: name (16), HMAC-SHA-256 key (16), AES-128 key (16).
import { randomBytes } from 'node:crypto';

export const ticketKeyBytes = 48;
const partBytes = 16;

/** Name and initialization vector of the ticket, and whether one is made or read. */
type TicketKeyCallback = (name: Buffer, vector: Buffer, isNew: boolean) => readonly [code: number, ...parts: Buffer[]];

/** What Node shows on a context, without documenting it. */
interface TicketContext {
  onticketkeycallback: TicketKeyCallback;
  enableTicketKeyCallback(): void;
}

const codes = { unknown: 0, accepted: 1, renewed: 2 } as const;
const nothing = Buffer.alloc(partBytes);

interface KeySet {
  readonly name: Buffer;
  readonly hmac: Buffer;
  readonly aes: Buffer;
}

/** What every ticket of one of these keys holds. @param octets key sets */
export function ticketKeyNames(octets: Buffer): readonly Buffer[] {
  return split(octets).map(({ name }) => name);
}

/** Makes a context use another key alone, without a callback. False where Node has no way to do it. @param native `context` of a SecureContext */
export function replaceTicketKey(native: unknown, key: Buffer): boolean {
  if (typeof native !== 'object' || native === null || !('setTicketKeys' in native) || typeof native.setTicketKeys !== 'function')
    return false;
  native.setTicketKeys(key);
  return true;
}

export class TicketKeys {
  #sets: readonly KeySet[];

  /** @param octets key sets, newest first */
  constructor(octets: Buffer) {
    this.#sets = split(octets);
  }

  replace(octets: Buffer): void {
    this.#sets = split(octets);
  }

  /** False where Node has no way to do it: the context then keeps the keys it was made with. @param native `context` of a SecureContext */
  serve(native: unknown): boolean {
    if (!isTicketContext(native)) return false;
    native.onticketkeycallback = (name, _vector, isNew) => (isNew ? this.#forNew() : this.#forKnown(name));
    native.enableTicketKeyCallback();
    return true;
  }

  #forNew(): readonly [number, ...Buffer[]] {
    const [set] = this.#sets;
    if (set === undefined) return [codes.unknown, nothing, nothing];
    return [codes.accepted, set.hmac, set.aes, set.name, randomBytes(partBytes)];
  }

  /** A ticket of an older key is replaced by a new one. */
  #forKnown(name: Buffer): readonly [number, ...Buffer[]] {
    const index = this.#sets.findIndex((set) => set.name.equals(name));
    const set = this.#sets[index];
    if (set === undefined) return [codes.unknown, nothing, nothing];
    return [index === 0 ? codes.accepted : codes.renewed, set.hmac, set.aes];
  }
}

function split(octets: Buffer): readonly KeySet[] {
  const sets: KeySet[] = [];
  for (let at = 0; at + ticketKeyBytes <= octets.length; at += ticketKeyBytes) {
    const part = (index: number): Buffer => octets.subarray(at + index * partBytes, at + (index + 1) * partBytes);
    sets.push({ name: part(0), hmac: part(1), aes: part(2) });
  }
  return sets;
}

function isTicketContext(value: unknown): value is TicketContext {
  return (
    typeof value === 'object' && value !== null && 'enableTicketKeyCallback' in value && typeof value.enableTicketKeyCallback === 'function'
  );
}
