// The {CRYPT} family through the system's libcrypt, on libuv's thread pool. It knows every prefix the system knows (yescrypt, scrypt, ...).
import { randomBytes } from 'node:crypto';
import { hashOf, isSame } from './digest.js';
import { type PasswordScheme, PasswordSchemeError } from './scheme.js';

/** sizeof(struct crypt_data) is 32,768 in libxcrypt and below that elsewhere. */
const cryptBufferBytes = 64 * 1024;

type CryptFunction = (phrase: Buffer, setting: string) => Promise<string | undefined>;
let loaded: CryptFunction | undefined;

/** Loads on first use: the roles that never check a password do not pay for it. */
async function loadCrypt(): Promise<CryptFunction> {
  if (loaded) return loaded;
  const { default: koffi } = await import('koffi');
  const candidates: readonly (readonly [string | null, string, boolean])[] = [
    ['libcrypt.so.1', 'crypt_rn', true],
    ['libcrypt.so.2', 'crypt_rn', true],
    ['libcrypt.so.1', 'crypt_r', false],
    [null, 'crypt_r', false],
  ];
  let cause: unknown;
  for (const [library, name, takesSize] of candidates) {
    try {
      const native = koffi.load(library).func(name, 'str', takesSize ? ['void *', 'str', 'void *', 'int'] : ['void *', 'str', 'void *']);
      const found: CryptFunction = (phrase, setting) =>
        new Promise((resolve, reject) => {
          // The phrase ends at its NUL; the scratch buffer starts zeroed (crypt_data.initialized = 0).
          const text = Buffer.concat([phrase, Buffer.alloc(1)]);
          const scratch = Buffer.alloc(cryptBufferBytes);
          const done = (error: unknown, result: unknown): void => {
            text.fill(0);
            scratch.fill(0);
            if (error) reject(error instanceof Error ? error : new Error(String(error)));
            else resolve(typeof result === 'string' ? result : undefined);
          };
          if (takesSize) native.async(text, setting, scratch, scratch.length, done);
          else native.async(text, setting, scratch, done);
        });
      loaded = found;
      return found;
    } catch (error) {
      cause = error;
    }
  }
  throw new PasswordSchemeError('unavailable', 'libcrypt cannot be loaded, {CRYPT} passwords cannot be checked', { cause });
}

async function crypt(password: Buffer, setting: string): Promise<string> {
  if (password.includes(0)) throw new PasswordSchemeError('malformed', 'password contains NUL');
  const result = await (await loadCrypt())(password, setting);
  // libxcrypt answers *0 or *1 for a setting it does not know.
  if (result === undefined || result.startsWith('*')) throw new PasswordSchemeError('malformed', 'crypt() does not know this kind of hash');
  return result;
}

async function verifyCrypt(password: Buffer, raw: Buffer): Promise<boolean> {
  // An empty hash would match everything in some implementations.
  if (raw.length === 0) return false;
  const stored = raw.toString('latin1');
  return isSame(Buffer.from(await crypt(password, stored), 'latin1'), raw);
}

const cryptAlphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const bcryptAlphabet = './ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

export function randomCryptSalt(length: number): string {
  return Array.from(randomBytes(length), (octet) => cryptAlphabet[octet & 63]).join('');
}

/** 128 random bits in bcrypt's base64: 22 letters, of which the last carries two bits. */
function bcryptSalt(): string {
  const letters = Array.from(randomBytes(21), (octet) => bcryptAlphabet[octet & 63]);
  const last = bcryptAlphabet[((randomBytes(1)[0] ?? 0) & 3) << 4];
  return `${letters.join('')}${last}`;
}

function rounds(scheme: string, wanted: number | undefined, range: readonly [number, number, number]): number {
  const [least, usual, most] = range;
  const value = wanted ?? usual;
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new PasswordSchemeError('bad-rounds', `${scheme}: rounds must be from ${least} to ${most}`);
  }
  return value;
}

function blowfishSetting(wanted: number | undefined): string {
  return `$2y$${String(rounds('BLF-CRYPT', wanted, [4, 5, 31])).padStart(2, '0')}$${bcryptSalt()}`;
}

function shaSetting(scheme: string, prefix: string, wanted: number | undefined): string {
  const count = rounds(scheme, wanted, [1000, 5000, 999_999_999]);
  return `${prefix}${count === 5000 ? '' : `rounds=${count}$`}${randomCryptSalt(16)}`;
}

function cryptScheme(name: string, isExpensive: boolean, setting: (wanted: number | undefined) => string): PasswordScheme {
  return {
    name,
    encoding: 'none',
    rawLength: 0,
    isExpensive,
    verify: verifyCrypt,
    generate: async (password, context) => Buffer.from(await crypt(password, setting(context.rounds)), 'latin1'),
  };
}

const md5Setting = (): string => `$1$${randomCryptSalt(8)}$`;

/** {MD5} is MD5-CRYPT when it looks like it, else the digest in hex. */
const md5: PasswordScheme = {
  ...cryptScheme('MD5', false, md5Setting),
  verify: (password, raw) => {
    if (raw.subarray(0, 3).toString('latin1') === '$1$') return verifyCrypt(password, raw);
    return isSame(hashOf('md5', password), Buffer.from(raw.toString('latin1'), 'hex'));
  },
};

export const cryptSchemes: readonly PasswordScheme[] = [
  cryptScheme('CRYPT', true, blowfishSetting),
  cryptScheme('DES-CRYPT', false, () => randomCryptSalt(2)),
  cryptScheme('MD5-CRYPT', false, md5Setting),
  md5,
  cryptScheme('BLF-CRYPT', true, blowfishSetting),
  cryptScheme('SHA256-CRYPT', true, (wanted) => shaSetting('SHA256-CRYPT', '$5$', wanted)),
  cryptScheme('SHA512-CRYPT', true, (wanted) => shaSetting('SHA512-CRYPT', '$6$', wanted)),
];
