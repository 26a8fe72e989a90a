// Stored passwords: `{SCHEME}value`, `{SCHEME.hex}value`, `{SCHEME.b64}value`, or a bare value in the default scheme.
import { cryptSchemes } from './schemes/crypt.js';
import { derivedSchemes } from './schemes/derived.js';
import { digestSchemes } from './schemes/digest.js';
import { type PasswordScheme, PasswordSchemeError } from './schemes/scheme.js';

const schemes: ReadonlyMap<string, PasswordScheme> = new Map(
  [...digestSchemes, ...cryptSchemes, ...derivedSchemes].map((scheme) => [scheme.name, scheme] as const),
);

/** A stored password taken apart; nothing is decoded yet. */
export interface StoredPassword {
  /** Upper case. */
  readonly scheme: string;
  readonly encoding: 'default' | 'hex' | 'base64';
  readonly value: string;
}

/** Takes `{SCHEME.encoding}value` apart. An unclosed brace belongs to a password in the default scheme. */
export function parseStoredPassword(text: string, defaultScheme: string): StoredPassword {
  const match = /^\{([^{}]+)\}/.exec(text);
  const [name = '', suffix = ''] = (match?.[1] ?? defaultScheme).split('.');
  const encodings: Readonly<Record<string, StoredPassword['encoding']>> = { '': 'default', HEX: 'hex', B64: 'base64', BASE64: 'base64' };
  const encoding = encodings[suffix.toUpperCase()];
  if (encoding === undefined) throw new PasswordSchemeError('unknown-scheme', `Unknown password encoding ${suffix}`);
  return { scheme: name.toUpperCase(), encoding, value: match ? text.slice(match[0].length) : text };
}

export function listSchemes(): readonly string[] {
  return [...schemes.keys()].sort();
}

export function isKnownScheme(name: string): boolean {
  return schemes.has(name.toUpperCase());
}

/** True when a check costs milliseconds on purpose. */
export function isExpensiveScheme(name: string): boolean {
  return schemes.get(name)?.isExpensive ?? false;
}

/**
 * Compares a password with a stored one; slow schemes run on libuv's thread pool.
 * @param user whole user name, for schemes that hash it too
 * @throws PasswordSchemeError when the stored value is unusable
 */
export async function verifyPassword(stored: StoredPassword, password: string, user = ''): Promise<boolean> {
  const scheme = getScheme(stored.scheme);
  return scheme.verify(Buffer.from(password), decodeStored(scheme, stored), { user, rounds: undefined });
}

/**
 * A new stored password, with its `{SCHEME}`.
 * @param schemeName `SSHA256` or with an encoding, `SSHA256.hex`
 * @param rounds cost in the unit of the scheme; undefined for its default
 * @throws PasswordSchemeError `unknown-scheme`, `bad-rounds`
 */
export async function hashPassword(schemeName: string, password: string, rounds?: number, user = ''): Promise<string> {
  const { scheme: name, encoding } = parseStoredPassword('', schemeName);
  const scheme = getScheme(name);
  const raw = await scheme.generate(Buffer.from(password), { user, rounds });
  const form = encoding === 'default' ? scheme.encoding : encoding;
  const text = form === 'none' ? raw.toString() : raw.toString(form);
  return `{${schemeName.toUpperCase()}}${text}`;
}

/**
 * The stored value's octets, for mechanisms that need more than a comparison (CRAM-MD5, SCRAM).
 * @throws PasswordSchemeError
 */
export function decodeStoredPassword(stored: StoredPassword): Buffer {
  return decodeStored(getScheme(stored.scheme), stored);
}

function getScheme(name: string): PasswordScheme {
  const scheme = schemes.get(name);
  if (!scheme) throw new PasswordSchemeError('unknown-scheme', `Unknown password scheme ${name}`);
  return scheme;
}

const isHex = (text: string): boolean => text.length % 2 === 0 && /^[0-9a-fA-F]*$/.test(text);
const isBase64 = (text: string): boolean => /^[A-Za-z0-9+/]*={0,2}$/.test(text);

function decodeStored(scheme: PasswordScheme, { encoding, value }: StoredPassword): Buffer {
  if (encoding === 'default' && scheme.encoding === 'none') return Buffer.from(value);
  const mayBeHex = encoding === 'hex' || (encoding === 'default' && scheme.rawLength > 0 && value.length === scheme.rawLength * 2);
  if (mayBeHex && isHex(value)) return Buffer.from(value, 'hex');
  if (encoding !== 'hex' && isBase64(value)) return Buffer.from(value, 'base64');
  throw new PasswordSchemeError('malformed', `${scheme.name}: value is neither hex nor base64 of the right size`);
}
