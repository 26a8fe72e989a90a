// What may stand between the % and the name of a variable, and the hash forms `%{sha256;...:name}`.
import { createHash, getHashes } from 'node:crypto';

export interface Shape {
  /** Negative: counted from the end. */
  readonly offset: number;
  /** 0: to the end. Negative: all but so many at the end. With zero padding: the least length, and nothing is cut. */
  readonly width: number;
  readonly padsWithZeros: boolean;
  /** Letters, applied from left to right. */
  readonly modifiers: string;
}

const modifierLetters = 'LUEXRHNMDT';

export function isModifier(char: string | undefined): boolean {
  return char !== undefined && modifierLetters.includes(char);
}

/** The hash of old ELF symbol tables over UTF-8 octets. */
function elfHash(text: string): number {
  let hash = 0;
  for (const octet of Buffer.from(text)) {
    hash = ((hash << 4) + octet) >>> 0;
    const high = hash & 0xf0000000;
    if (high !== 0) hash = (hash ^ (high >>> 24) ^ high) >>> 0;
  }
  return hash;
}

const md5 = (text: string): Buffer => createHash('md5').update(text).digest();

/** H and N take the numbers for themselves: width is the modulus, offset the least number of digits. */
function numberHash(text: string, letter: 'H' | 'N', { offset, width }: Shape): string {
  const full = letter === 'H' ? BigInt(elfHash(text)) : md5(text).readBigUInt64BE(0);
  const value = width > 0 ? full % BigInt(width) : full;
  return (value & 0xffffffffn).toString(16).padStart(Math.max(0, offset), '0');
}

export function applyModifiers(text: string, shape: Shape): string {
  let value = text;
  for (const letter of shape.modifiers) value = applyModifier(value, letter, shape);
  return value;
}

function applyModifier(value: string, letter: string, shape: Shape): string {
  switch (letter) {
    case 'L':
      return value.toLowerCase();
    case 'U':
      return value.toUpperCase();
    case 'E':
      return value.replace(/["'\\]/g, '\\$&');
    case 'X':
      return /^\d{1,20}$/.test(value) ? BigInt(value).toString(16) : '0';
    case 'R':
      return [...value].reverse().join('');
    case 'H':
    case 'N':
      return numberHash(value, letter, shape);
    case 'M':
      return md5(value).toString('hex');
    case 'D':
      return value.replaceAll('.', ',dc=');
    case 'T':
      return value.trimEnd();
    default:
      return value;
  }
}

/** The substring, unless a number hash has used up the numbers. */
export function cut(value: string, { offset, width, padsWithZeros, modifiers }: Shape): string {
  if (modifiers.includes('H') || modifiers.includes('N') || (offset === 0 && width === 0)) return value;
  const rest = value.slice(offset < 0 ? Math.max(0, value.length + offset) : offset);
  if (width === 0) return rest;
  if (padsWithZeros) return rest.padStart(width, '0');
  return width < 0 ? rest.slice(0, Math.max(0, rest.length + width)) : rest.slice(0, width);
}

/** Names in a configuration to names in the library. */
export const hashNames: ReadonlyMap<string, string> = new Map([
  ['md4', 'md4'],
  ['md5', 'md5'],
  ['sha1', 'sha1'],
  ['sha256', 'sha256'],
  ['sha384', 'sha384'],
  ['sha512', 'sha512'],
  ['sha3-256', 'sha3-256'],
  ['sha3-512', 'sha3-512'],
]);

export interface HashOptions {
  readonly algorithm: string;
  readonly rounds: number;
  readonly salt: string;
  /** Leading bits kept, moved to the right end; 0: all. */
  readonly truncateBits: number;
  readonly format: 'hex' | 'hexuc' | 'base64';
}

const maxRounds = 1_000_000;

/** `rounds=2,truncate=12,format=base64,salt=x`, or what is wrong. Nothing counts after `salt`: other software stops there. */
export function parseHashOptions(name: string, args: string): HashOptions | string {
  const algorithm = hashNames.get(name) ?? name;
  if (!getHashes().includes(algorithm)) return `Hash ${name} is not available`;
  let options: HashOptions = { algorithm, rounds: 1, salt: '', truncateBits: 0, format: 'hex' };
  for (const arg of args.split(',').filter((part) => part !== '')) {
    const [, key = '', text = ''] = /^([^=]*)=?([\s\S]*)$/.exec(arg) ?? [];
    const amount = /^\d+$/.test(text) ? Number(text) : 0;
    if (key === 'salt') return { ...options, salt: text };
    if (key === 'rounds') {
      if (amount < 1 || amount > maxRounds) return `Cannot parse hash arguments: rounds must be at least 1 and at most ${maxRounds}`;
      options = { ...options, rounds: amount };
    } else if (key === 'truncate') options = { ...options, truncateBits: amount };
    else if (key === 'format') {
      if (text !== 'hex' && text !== 'hexuc' && text !== 'base64') return `Cannot parse hash arguments: '${text}' is not supported format`;
      options = { ...options, format: text };
    }
  }
  return options;
}

/** Every round hashes the salt and then the result of the round before. */
export function hashValue({ algorithm, rounds, salt, truncateBits, format }: HashOptions, value: string): string {
  let digest: Buffer = Buffer.from(value);
  for (let round = 0; round < rounds; round += 1) digest = createHash(algorithm).update(salt).update(digest).digest();
  if (truncateBits > 0 && truncateBits < digest.length * 8) digest = truncate(digest, truncateBits);
  if (format === 'base64') return digest.toString('base64');
  return format === 'hexuc' ? digest.toString('hex').toUpperCase() : digest.toString('hex');
}

function truncate(digest: Buffer, bits: number): Buffer {
  const kept = BigInt(`0x${digest.toString('hex')}`) >> BigInt(digest.length * 8 - bits);
  const octets = Math.ceil(bits / 8);
  return Buffer.from(kept.toString(16).padStart(octets * 2, '0'), 'hex');
}
