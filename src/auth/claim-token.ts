// What auth knows of a finished login, sealed for the mail process: it travels with the connection, so that the mail process need not ask auth
// again, and a login outlives the auth process that accepted it. A login process, which carries the token, neither makes one nor sees the user's fields.
//
// Parts, separated by dots:
//   identity   `uid:gid` as the userdb gave them, either part empty where it gave none
//   epoch      16 random octets in base64, those of one auth process
//   fields     base64: number (6 octets, big-endian, from 1), AES-256-GCM of the fields as JSON, tag (16 octets)
//   number     of the login, from 1; 0: for all logins of the user that this login process lets in with the same proof for a while
//   until      when the token is no good any more, ms since the epoch
//   seal       HMAC-SHA-256 of all parts before it and of the connection that the token is for (ClaimFacts; with the number 0, of the login process)
// Both keys are HMAC-SHA-256 of the epoch, and what the key is for, under the identity's key, so that a number, which is the nonce, is used once with one
// key. A process that runs as one user has the keys of that user's identity only.
//
// A user who logs in again mostly has the same fields, so auth encrypts them once and a mail process decrypts them once: for each login there is one seal
// to be made and checked. What a login process can learn from that is whether the fields have changed.
//
// A token with the number 0 lets a login process that remembers a login (pre-auth/remembered-logins.ts) bring others of the same user without asking auth. One
// that was taken over could do so without a client, until the token ends: but it has seen the password, with which it could log in anyway.
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import { type ClaimKeys, claimKeyOf } from '#ipc/claim-keys.js';
import type { HandoffRequest } from '#ipc/peer.js';
import { isSameSeal, Mac } from '#util/mac.js';
import type { UserFields } from './client.js';

/** A hand-off may wait this long: 10 s for a free process, and three attempts. */
export const claimLifetimeMs = 60_000;
const epochBytes = 16;
const numberBytes = 6;
const tagBytes = 16;
const nonceBytes = 12;
const maxTokenCharacters = 16_384;
/** Numbers this far behind the highest one are refused: more than are made in the lifetime of one. */
const windowSize = 1 << 19;
/** Auth processes whose tokens are remembered; one is replaced at a reload or after a crash. */
const maxEpochs = 8;
/** Keys of identities that are kept ready. */
const maxKeys = 1_000;
/** Fields that are kept, sealed or opened. */
const maxKeptFields = 1_000;
const cipherName = 'aes-256-gcm';
/** Of tokens that may be used again. */
const repeatedNumber = 0;

/** What a token is good for: it is refused with any other connection. */
export interface ClaimFacts {
  readonly user: string;
  readonly service: string;
  readonly loginPid: number;
  readonly authId: number;
  readonly sessionId: string;
}

/** What a token that may be used again is good for. */
export type RepeatedFacts = Omit<ClaimFacts, 'authId' | 'sessionId'>;

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
  readonly #epoch = randomBytes(epochBytes).toString('base64');
  readonly #keys = new LatestMade<EpochKeys>(maxKeys);
  /** The parts up to the fields, by the fields as JSON. */
  readonly #sealed = new LatestMade<string>(maxKeptFields);
  readonly #nonce = Buffer.alloc(nonceBytes);
  #lastFields = 0;
  #lastLogin = 0;

  constructor(secret: Buffer) {
    this.#secret = secret;
  }

  seal(claim: SealedClaim): string {
    this.#lastLogin += 1;
    return this.#seal(claim, this.#lastLogin, connectionText(claim));
  }

  /** For other logins of the same user through the same login process. */
  sealAgain(claim: Omit<SealedClaim, 'authId' | 'sessionId'>): string {
    return this.#seal(claim, repeatedNumber, repeatedText(claim));
  }

  #seal(claim: Pick<SealedClaim, 'fields' | 'untilMs'>, number: number, boundTo: string): string {
    const identity = claimIdentityOf(claim.fields);
    const keys = this.#keys.get(identity) ?? this.#keys.add(identity, epochKeys(claimKeyOf(this.#secret, identity), this.#epoch));
    const fields = JSON.stringify(claim.fields);
    const sealed = this.#sealed.get(fields) ?? this.#sealed.add(fields, `${identity}.${this.#epoch}.${this.#encrypt(keys.fields, fields)}`);
    const parts = `${sealed}.${number}.${claim.untilMs}`;
    return `${parts}.${keys.seal.of(`${parts}\n${boundTo}`)}`;
  }

  #encrypt(key: KeyObject, text: string): string {
    this.#lastFields += 1;
    this.#nonce.writeUIntBE(this.#lastFields, nonceBytes - numberBytes, numberBytes);
    const cipher = createCipheriv(cipherName, key, this.#nonce);
    const sealed = cipher.update(text, 'utf8');
    cipher.final();
    return Buffer.concat([this.#nonce.subarray(nonceBytes - numberBytes), sealed, cipher.getAuthTag()]).toString('base64');
  }
}

/** Opens tokens, each once unless it may be used again. */
export class ClaimOpener {
  readonly #claimKeys: ClaimKeys;
  readonly #nowMs: () => number;
  readonly #keys = new LatestMade<EpochKeys>(maxKeys);
  /** By the parts up to the fields. */
  readonly #opened = new LatestMade<UserFields['fields']>(maxKeptFields);
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
    if (token.length > maxTokenCharacters) return undefined;
    const [identity = '', epoch = '', sealed = '', numberText = '', untilText = '', seal, ...others] = token.split('.');
    if (seal === undefined || others.length > 0) return undefined;
    const keys = this.#keysOf(identity, epoch);
    const parts = token.slice(0, token.length - seal.length - 1);
    // Everything that follows depends on this: what passes was written by auth, for this connection.
    const isRepeated = numberText === String(repeatedNumber);
    const boundTo = isRepeated ? repeatedText(facts) : connectionText(facts);
    if (keys === undefined || !isSameSeal(keys.seal.of(`${parts}\n${boundTo}`), seal)) return undefined;
    if (Number(untilText) < this.#nowMs()) return undefined;
    if (!isRepeated && !this.#numbersOf(epoch).use(Number(numberText))) return undefined;
    const name = parts.slice(0, parts.length - numberText.length - untilText.length - 2);
    return { user: facts.user, fields: this.#opened.get(name) ?? this.#opened.add(name, this.#decrypt(keys.fields, sealed)) };
  }

  #keysOf(identity: string, epoch: string): EpochKeys | undefined {
    const name = `${identity} ${epoch}`;
    const known = this.#keys.get(name);
    if (known !== undefined) return known;
    const { secret, keys } = this.#claimKeys;
    const key = secret !== undefined ? claimKeyOf(Buffer.from(secret, 'base64'), identity) : keys?.[identity];
    if (key === undefined) return undefined;
    return this.#keys.add(name, epochKeys(typeof key === 'string' ? Buffer.from(key, 'base64') : key, epoch));
  }

  #numbersOf(epoch: string): UsedNumbers {
    const known = this.#epochs.get(epoch);
    if (known !== undefined) return known;
    const numbers = new UsedNumbers();
    this.#epochs.set(epoch, numbers);
    if (this.#epochs.size > maxEpochs) for (const oldest of this.#epochs.keys()) if (this.#epochs.delete(oldest)) break;
    return numbers;
  }

  /** @throws Error when it was not made with this key, which the seal rules out */
  #decrypt(key: KeyObject, sealed: string): UserFields['fields'] {
    const octets = Buffer.from(sealed, 'base64');
    const end = octets.length - tagBytes;
    octets.copy(this.#nonce, nonceBytes - numberBytes, 0, numberBytes);
    const decipher = createDecipheriv(cipherName, key, this.#nonce, { authTagLength: tagBytes });
    decipher.setAuthTag(octets.subarray(end));
    return JSON.parse(decipher.update(octets.subarray(numberBytes, end), undefined, 'utf8') + decipher.final('utf8'));
  }
}

/** Values by name; the first ones made go first. */
class LatestMade<Value> {
  readonly #values = new Map<string, Value>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  get(name: string): Value | undefined {
    return this.#values.get(name);
  }

  add(name: string, value: Value): Value {
    this.#values.set(name, value);
    if (this.#values.size > this.#max) for (const oldest of this.#values.keys()) if (this.#values.delete(oldest)) break;
    return value;
  }
}

interface EpochKeys {
  readonly fields: KeyObject;
  readonly seal: Mac;
}

function epochKeys(key: Buffer, epoch: string): EpochKeys {
  const keyFor = (purpose: string): Buffer => createHmac('sha256', key).update(`${epoch} ${purpose}`).digest();
  return { fields: createSecretKey(keyFor('fields')), seal: new Mac(keyFor('seal')) };
}

/** Follows the parts: numbers and base64 have no line ends in them, and JSON shows where each text ends. */
function connectionText({ user, service, loginPid, authId, sessionId }: ClaimFacts): string {
  return JSON.stringify([user, service, loginPid, authId, sessionId]);
}

function repeatedText({ user, service, loginPid }: RepeatedFacts): string {
  return JSON.stringify([user, service, loginPid]);
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
