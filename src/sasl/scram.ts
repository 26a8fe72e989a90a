// SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { decodeUtf8, type SaslBackend, type SaslMechanism, type SaslServer, type SaslStep } from './mechanism.js';

type Hash = 'sha1' | 'sha256';

interface FirstMessage {
  readonly gs2Header: string;
  readonly user: string;
  readonly authorizationId: string;
  readonly clientNonce: string;
  readonly bare: string;
}

const malformed = (reason: string): SaslStep => ({ kind: 'malformed', reason });
const e = (error: string): SaslStep => ({ kind: 'malformed', reason: `SCRAM: ${error}` });

/** `=2C` and `=3D` are comma and equals sign; any other use of `=` is wrong. */
function decodeName(text: string): string | undefined {
  if (/=(?!2C|3D)/.test(text)) return undefined;
  return text.replaceAll('=2C', ',').replaceAll('=3D', '=');
}

function parseFirst(text: string): FirstMessage | undefined {
  const match = /^((?:n|y),(?:a=([^,]+))?,)(n=([^,]+),r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/s.exec(text);
  if (!match) return undefined;
  const [, gs2Header = '', rawAuthorizationId = '', bare = '', rawUser = '', clientNonce = ''] = match;
  const user = decodeName(rawUser);
  const authorizationId = decodeName(rawAuthorizationId);
  if (user === undefined || authorizationId === undefined) return undefined;
  return { gs2Header, user, authorizationId, clientNonce, bare };
}

class ScramServer implements SaslServer {
  readonly #backend: SaslBackend;
  readonly #hash: Hash;
  #first: FirstMessage | undefined;
  #serverFirst = '';
  #nonce = '';
  #finish: ((proof: Buffer, authMessage: string) => Buffer | undefined) | undefined;

  constructor(backend: SaslBackend, hash: Hash) {
    this.#backend = backend;
    this.#hash = hash;
  }

  async step(response: Buffer | undefined): Promise<SaslStep> {
    if (response === undefined) return { kind: 'challenge', octets: Buffer.alloc(0) };
    const text = decodeUtf8(response);
    if (text === undefined) return e('message is not UTF-8');
    return this.#first === undefined ? this.#takeFirst(text) : this.#takeFinal(text, this.#first);
  }

  async #takeFirst(text: string): Promise<SaslStep> {
    const first = parseFirst(text);
    if (!first) return e(text.startsWith('p=') ? 'channel binding is not supported' : 'invalid first message');
    this.#first = first;
    const identity = { authenticationId: first.user, authorizationId: first.authorizationId };
    let serverFirst: string | undefined;
    // The proof arrives only with the next message, so the stored keys are kept in a closure and the lookup is repeated by `verifyCredentials` at
    // the end, where success counts.
    await this.#backend.verifyCredentials(identity, this.#hash === 'sha1' ? 'scram-sha1' : 'scram-sha256', (credentials) => {
      if (credentials.kind !== 'scram' || credentials.hash !== this.#hash) return false;
      this.#nonce = first.clientNonce + randomBytes(18).toString('base64');
      serverFirst = `r=${this.#nonce},s=${credentials.salt.toString('base64')},i=${credentials.iterations}`;
      this.#finish = (proof, authMessage) => {
        const signature = createHmac(this.#hash, credentials.storedKey).update(authMessage).digest();
        if (proof.length !== signature.length) return undefined;
        const clientKey = Buffer.from(proof.map((octet, index) => octet ^ (signature[index] ?? 0)));
        const isRight = timingSafeEqual(createHash(this.#hash).update(clientKey).digest(), credentials.storedKey);
        return isRight ? createHmac(this.#hash, credentials.serverKey).update(authMessage).digest() : undefined;
      };
      return true;
    });
    if (serverFirst === undefined) return { kind: 'failure' };
    this.#serverFirst = serverFirst;
    return { kind: 'challenge', octets: Buffer.from(serverFirst) };
  }

  async #takeFinal(text: string, first: FirstMessage): Promise<SaslStep> {
    const match = /^(c=([A-Za-z0-9+/=]+),r=([^,]+)(?:,.*)?),p=([A-Za-z0-9+/=]+)$/s.exec(text);
    if (!match) return malformed('SCRAM: invalid final message');
    const [, withoutProof = '', binding = '', nonce = '', proof = ''] = match;
    if (Buffer.from(binding, 'base64').toString() !== first.gs2Header) return e('channel binding data differs');
    if (nonce !== this.#nonce) return e('nonce differs');
    const signature = this.#finish?.(Buffer.from(proof, 'base64'), `${first.bare},${this.#serverFirst},${withoutProof}`);
    const identity = { authenticationId: first.user, authorizationId: first.authorizationId };
    const form = this.#hash === 'sha1' ? 'scram-sha1' : 'scram-sha256';
    const isRight = await this.#backend.verifyCredentials(identity, form, () => signature !== undefined);
    if (!isRight || signature === undefined) return { kind: 'failure' };
    return { kind: 'success', finalData: Buffer.from(`v=${signature.toString('base64')}`) };
  }
}

export const scramSha1: SaslMechanism = {
  name: 'SCRAM-SHA-1',
  flags: ['dictionary', 'active', 'mutual-auth'],
  start: (backend) => new ScramServer(backend, 'sha1'),
};
export const scramSha256: SaslMechanism = {
  name: 'SCRAM-SHA-256',
  flags: ['dictionary', 'active', 'mutual-auth'],
  start: (backend) => new ScramServer(backend, 'sha256'),
};
