// What auth knows of a finished login, sealed for the mail process: it travels with the connection, so that the mail process need not ask auth
// again, and a login outlives the auth process that accepted it.
//
// AES-256-GCM, so that a login process, which carries the token, neither makes one nor sees the user's fields. Layout: identity, a dot, then in
// base64: version (1 octet, 1), epoch (16 octets, random, one for each auth process), number (6 octets, big-endian, from 1), ciphertext, tag (16
// octets). The ciphertext is JSON (SealedClaim). The key is HMAC-SHA-256 of the epoch under the identity's key, so that a number, which is the
// nonce, is used once with one key. An identity is `uid:gid` as the userdb gave them, either part empty where it gave none; a process that runs
// as one user has the keys of that user's identity only.
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { type ClaimKeys, claimKeyOf } from '#ipc/claim-keys.js';
import type { HandoffRequest } from '#ipc/peer.js';
import type { UserFields } from './client.js';

/** A hand-off may wait this long: 10 s for a free process, and three attempts. */
export const claimLifetimeMs = 60_000;
const version = 1;
const epochBytes = 16;
const numberBytes = 6;
const headBytes = 1 + epochBytes + numberBytes;
const tagBytes = 16;
const nonceBytes = 12;
const maxTokenCharacters = 16_384;
/** Numbers this far behind the highest one are refused: more than are made in the lifetime of one. */
const windowSize = 1 << 19;
/** Auth processes whose tokens are remembered; one is replaced at a reload or after a crash. */
const maxEpochs = 8;
/** Keys of identities that are kept ready. */
const maxKeys = 1_000;
const cipherName = 'aes-256-gcm';

/** What a token is good for: it is refused with any other connection. */
export interface ClaimFacts {
  readonly user: string;
  readonly service: string;
  readonly loginPid: number;
  readonly authId: number;
  readonly sessionId: string;
}

export interface SealedClaim extends ClaimFacts {
  readonly fields: Readonly<Record<string, string>>;
  /** ms since the epoch. */
  readonly untilMs: number;
}

/** Identity of a user by what the userdb says. */
export function claimIdentityOf(fields: Readonly<Record<string, string>>): string {
  return `${fields['uid'] ?? ''}:${fields['gid'] ?? ''}`;
}

/** Makes tokens; one for each auth process. */
export class ClaimSealer {
  readonly #secret: Buffer;
  readonly #epoch = randomBytes(epochBytes);
  readonly #keys = new KeyStore();
  readonly #nonce = Buffer.alloc(nonceBytes);
  #number = 0;

  constructor(secret: Buffer) {
    this.#secret = secret;
  }

  seal(claim: SealedClaim): string {
    const identity = claimIdentityOf(claim.fields);
    this.#number += 1;
    this.#nonce.writeUIntBE(this.#number, nonceBytes - numberBytes, numberBytes);
    const cipher = createCipheriv(cipherName, this.#keyFor(identity), this.#nonce);
    const sealed = cipher.update(JSON.stringify(claim), 'utf8');
    cipher.final();
    const head = Buffer.allocUnsafe(headBytes);
    head[0] = version;
    this.#epoch.copy(head, 1);
    this.#nonce.copy(head, 1 + epochBytes, nonceBytes - numberBytes);
    return `${identity}.${Buffer.concat([head, sealed, cipher.getAuthTag()]).toString('base64')}`;
  }

  #keyFor(identity: string): KeyObject {
    return this.#keys.get(identity) ?? this.#keys.add(identity, epochKey(claimKeyOf(this.#secret, identity), this.#epoch));
  }
}

/** Opens tokens, each once. */
export class ClaimOpener {
  readonly #claimKeys: ClaimKeys;
  readonly #nowMs: () => number;
  readonly #keys = new KeyStore();
  readonly #epochs = new Map<string, UsedNumbers>();
  readonly #nonce = Buffer.alloc(nonceBytes);

  constructor(claimKeys: ClaimKeys, nowMs: () => number) {
    this.#claimKeys = claimKeys;
    this.#nowMs = nowMs;
  }

  /** What was sealed into a hand-off, if something was; else, or when it is not good, the login has to be claimed at auth. */
  openHandoff(request: HandoffRequest): UserFields | undefined {
    return request.claim === undefined ? undefined : this.open(request.claim, request);
  }

  /** Undefined for a token that was used here before, is too old, is meant for another connection or identity, or was not made by auth. */
  open(token: string, facts: ClaimFacts): UserFields | undefined {
    const dot = token.indexOf('.');
    if (dot < 0 || token.length > maxTokenCharacters) return undefined;
    const octets = Buffer.from(token.slice(dot + 1), 'base64');
    if (octets.length <= headBytes + tagBytes || octets[0] !== version) return undefined;
    const epoch = octets.toString('latin1', 1, 1 + epochBytes);
    const key = this.#keyFor(token.slice(0, dot), epoch);
    const text = key === undefined ? undefined : this.#decrypt(key, octets);
    const claim = text === undefined ? undefined : parseClaim(text);
    if (claim === undefined || claim.untilMs < this.#nowMs() || !isFor(claim, facts)) return undefined;
    // Only now: whoever invents tokens could otherwise push out the epochs that are in use.
    if (!this.#numbersOf(epoch).use(octets.readUIntBE(1 + epochBytes, numberBytes))) return undefined;
    return { user: claim.user, fields: claim.fields };
  }

  #keyFor(identity: string, epoch: string): KeyObject | undefined {
    const name = `${identity} ${epoch}`;
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    const { secret, keys } = this.#claimKeys;
    const key = secret !== undefined ? claimKeyOf(Buffer.from(secret, 'base64'), identity) : keys?.[identity];
    if (key === undefined) return undefined;
    return this.#keys.add(name, epochKey(typeof key === 'string' ? Buffer.from(key, 'base64') : key, Buffer.from(epoch, 'latin1')));
  }

  #numbersOf(epoch: string): UsedNumbers {
    const known = this.#epochs.get(epoch);
    if (known !== undefined) return known;
    const numbers = new UsedNumbers();
    this.#epochs.set(epoch, numbers);
    if (this.#epochs.size > maxEpochs) for (const oldest of this.#epochs.keys()) if (this.#epochs.delete(oldest)) break;
    return numbers;
  }

  #decrypt(key: KeyObject, octets: Buffer): string | undefined {
    octets.copy(this.#nonce, nonceBytes - numberBytes, 1 + epochBytes, headBytes);
    const end = octets.length - tagBytes;
    const decipher = createDecipheriv(cipherName, key, this.#nonce, { authTagLength: tagBytes });
    decipher.setAuthTag(octets.subarray(end));
    try {
      return decipher.update(octets.subarray(headBytes, end), undefined, 'utf8') + decipher.final('utf8');
    } catch {
      // Not made with this key.
      return undefined;
    }
  }
}

/** The first ones made go first. */
class KeyStore {
  readonly #keys = new Map<string, KeyObject>();

  get(name: string): KeyObject | undefined {
    return this.#keys.get(name);
  }

  add(name: string, key: KeyObject): KeyObject {
    this.#keys.set(name, key);
    if (this.#keys.size > maxKeys) for (const oldest of this.#keys.keys()) if (this.#keys.delete(oldest)) break;
    return key;
  }
}

/** For processes that were started without keys: every login is claimed at auth. */
export function createClaimOpener(claimKeys: ClaimKeys | undefined): ClaimOpener | undefined {
  return claimKeys === undefined ? undefined : new ClaimOpener(claimKeys, Date.now);
}

/** Which of a series of numbers, arriving roughly in order, were used: one bit for each of the last `windowSize`. */
export class UsedNumbers {
  readonly #bits = new Uint8Array(windowSize / 8);
  #highest = 0;

  /** False when it was used before, or is too far behind. */
  use(number: number): boolean {
    if (number <= this.#highest - windowSize) return false;
    if (number - this.#highest >= windowSize) this.#bits.fill(0);
    else for (let next = this.#highest + 1; next <= number; next += 1) this.#clear(next);
    this.#highest = Math.max(this.#highest, number);
    const at = number % windowSize;
    const bit = 1 << (at & 7);
    const octet = this.#bits[at >>> 3] ?? 0;
    if ((octet & bit) !== 0) return false;
    this.#bits[at >>> 3] = octet | bit;
    return true;
  }

  #clear(number: number): void {
    const at = number % windowSize;
    this.#bits[at >>> 3] = (this.#bits[at >>> 3] ?? 0) & ~(1 << (at & 7));
  }
}

function epochKey(key: Buffer, epoch: Buffer): KeyObject {
  return createSecretKey(createHmac('sha256', key).update(epoch).digest());
}

function isFor(claim: SealedClaim, facts: ClaimFacts): boolean {
  return (
    claim.user === facts.user &&
    claim.service === facts.service &&
    claim.loginPid === facts.loginPid &&
    claim.authId === facts.authId &&
    claim.sessionId === facts.sessionId
  );
}

/** The seal says that auth wrote it, so only its shape is looked at, for the sake of other versions. */
function parseClaim(text: string): SealedClaim | undefined {
  const claim: unknown = JSON.parse(text);
  const isClaim = typeof claim === 'object' && claim !== null && 'user' in claim && 'fields' in claim && 'untilMs' in claim;
  return isClaim ? (claim as SealedClaim) : undefined;
}
