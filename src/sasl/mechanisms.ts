// The mechanisms that can be named in auth_mechanisms.
import { cramMd5 } from './cram-md5.js';
import { external } from './external.js';
import type { SaslMechanism } from './mechanism.js';
import { login, plain } from './plain.js';
import { scramSha1, scramSha256 } from './scram.js';

const all: readonly SaslMechanism[] = [plain, login, cramMd5, scramSha1, scramSha256, external];

export const mechanismNames: readonly string[] = all.map(({ name }) => name);

/** @param name in any case */
export function findMechanism(name: string): SaslMechanism | undefined {
  const wanted = name.toUpperCase();
  return all.find((mechanism) => mechanism.name === wanted);
}
