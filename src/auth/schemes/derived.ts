// Schemes made by key derivation: ARGON2, PBKDF2, SCRAM (RFC 5802, RFC 7677).
import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { randomCryptSalt } from './crypt.js';
import { isSame } from './digest.js';
import { type PasswordScheme, PasswordSchemeError } from './scheme.js';

const derive = promisify(pbkdf2);
/** A stored value may not make the server work for minutes. */
const maxIterations = 10_000_000;
const argonMemoryKiB = 65_536;

function argon(name: 'ARGON2I' | 'ARGON2ID', defaultTime: number): PasswordScheme {
  return {
    name,
    encoding: 'none',
    rawLength: 0,
    isExpensive: true,
    async verify(password, raw) {
      const stored = raw.toString('latin1');
      if (!/^\$argon2(?:i|id|d)\$/.test(stored)) throw new PasswordSchemeError('malformed', `${name}: value is not an argon2 string`);
      const { verify } = await import('argon2');
      try {
        return await verify(stored, password);
      } catch (cause) {
        throw new PasswordSchemeError('malformed', `${name}: value cannot be read`, { cause });
      }
    },
    async generate(password, { rounds }) {
      const timeCost = rounds ?? defaultTime;
      if (!Number.isInteger(timeCost) || timeCost < 1 || timeCost > 1000) {
        throw new PasswordSchemeError('bad-rounds', `${name}: rounds must be from 1 to 1000`);
      }
      const { argon2i, argon2id, hash } = await import('argon2');
      const type = name === 'ARGON2I' ? argon2i : argon2id;
      return Buffer.from(await hash(password, { type, timeCost, memoryCost: argonMemoryKiB, parallelism: 1 }), 'latin1');
    },
  };
}

function iterations(scheme: string, value: number): number {
  if (!Number.isInteger(value) || value < 1 || value > maxIterations) {
    throw new PasswordSchemeError('malformed', `${scheme}: ${value} is not a number of rounds from 1 to ${maxIterations}`);
  }
  return value;
}

/** `$1$salt$rounds$hex`, PBKDF2 with HMAC-SHA-1, 20 octets. */
const pbkdf2Scheme: PasswordScheme = {
  name: 'PBKDF2',
  encoding: 'none',
  rawLength: 0,
  isExpensive: true,
  async verify(password, raw) {
    const match = /^\$1\$([^$]*)\$(\d+)\$([0-9a-fA-F]{40})$/.exec(raw.toString('latin1'));
    if (!match) throw new PasswordSchemeError('malformed', 'PBKDF2: expected $1$salt$rounds$hash');
    const [, salt = '', rounds = '', hex = ''] = match;
    const key = await derive(password, Buffer.from(salt, 'latin1'), iterations('PBKDF2', Number(rounds)), 20, 'sha1');
    return isSame(key, Buffer.from(hex, 'hex'));
  },
  async generate(password, { rounds = 5000 }) {
    const salt = randomCryptSalt(16);
    const key = await derive(password, salt, iterations('PBKDF2', rounds), 20, 'sha1');
    return Buffer.from(`$1$${salt}$${rounds}$${key.toString('hex')}`, 'latin1');
  },
};

export interface ScramCredentials {
  readonly iterations: number;
  readonly salt: Buffer;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

export type ScramHash = 'sha1' | 'sha256';
const scramKeyBytes: Readonly<Record<ScramHash, number>> = { sha1: 20, sha256: 32 };

/** Keys a server keeps for a password (RFC 5802 section 3). */
export async function deriveScram(hash: ScramHash, password: Buffer, salt: Buffer, count: number): Promise<ScramCredentials> {
  const salted = await derive(password, salt, count, scramKeyBytes[hash], hash);
  const clientKey = createHmac(hash, salted).update('Client Key').digest();
  return {
    iterations: count,
    salt,
    storedKey: createHash(hash).update(clientKey).digest(),
    serverKey: createHmac(hash, salted).update('Server Key').digest(),
  };
}

/** `iterations,salt,StoredKey,ServerKey`, the last three in base64. @throws PasswordSchemeError `malformed` */
export function parseScram(hash: ScramHash, text: string): ScramCredentials {
  const [count = '', salt = '', stored = '', server = '', ...rest] = text.split(',');
  const parsed = {
    iterations: iterations('SCRAM', Number(count)),
    salt: Buffer.from(salt, 'base64'),
    storedKey: Buffer.from(stored, 'base64'),
    serverKey: Buffer.from(server, 'base64'),
  };
  if (rest.length > 0 || parsed.storedKey.length !== scramKeyBytes[hash] || parsed.serverKey.length !== scramKeyBytes[hash]) {
    throw new PasswordSchemeError('malformed', 'SCRAM: expected iterations,salt,storedkey,serverkey');
  }
  return parsed;
}

function scram(name: string, hash: ScramHash): PasswordScheme {
  return {
    name,
    encoding: 'none',
    rawLength: 0,
    isExpensive: true,
    async verify(password, raw) {
      const stored = parseScram(hash, raw.toString('latin1'));
      const made = await deriveScram(hash, password, stored.salt, stored.iterations);
      return isSame(made.storedKey, stored.storedKey);
    },
    async generate(password, { rounds = 4096 }) {
      const made = await deriveScram(hash, password, randomBytes(16), iterations(name, rounds));
      const parts = [made.salt, made.storedKey, made.serverKey].map((part) => part.toString('base64'));
      return Buffer.from(`${rounds},${parts.join(',')}`, 'latin1');
    },
  };
}

export const derivedSchemes: readonly PasswordScheme[] = [
  argon('ARGON2I', 4),
  argon('ARGON2ID', 3),
  pbkdf2Scheme,
  scram('SCRAM-SHA-1', 'sha1'),
  scram('SCRAM-SHA-256', 'sha256'),
];
