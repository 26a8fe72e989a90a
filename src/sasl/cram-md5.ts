// CRAM-MD5 (RFC 2195).
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { hmacMd5FromStates } from '#util/md-block.js';
import { decodeUtf8, type SaslCredentials, type SaslMechanism } from './mechanism.js';

function digestFor(credentials: SaslCredentials, challenge: Buffer): Buffer | undefined {
  if (credentials.kind === 'plain') return createHmac('md5', credentials.password).update(challenge).digest();
  return credentials.kind === 'cram-md5' ? hmacMd5FromStates(credentials.states, challenge) : undefined;
}

export const cramMd5: SaslMechanism = {
  name: 'CRAM-MD5',
  flags: ['dictionary', 'active'],
  start: (backend) => {
    let challenge: Buffer | undefined;
    return {
      async step(response) {
        if (challenge === undefined) {
          if (response !== undefined && response.length > 0) return { kind: 'malformed', reason: 'CRAM-MD5 takes no initial response' };
          challenge = Buffer.from(`<${randomBytes(8).toString('hex')}.${Math.floor(Date.now() / 1000)}@roost>`);
          return { kind: 'challenge', octets: challenge };
        }
        const sent = challenge;
        const text = decodeUtf8(response ?? Buffer.alloc(0)) ?? '';
        const space = text.lastIndexOf(' ');
        const hex = text.slice(space + 1);
        if (space < 1 || !/^[0-9a-fA-F]{32}$/.test(hex)) return { kind: 'malformed', reason: 'CRAM-MD5 response is not "user digest"' };
        const digest = Buffer.from(hex, 'hex');
        const isRight = await backend.verifyCredentials(
          { authenticationId: text.slice(0, space), authorizationId: '' },
          'cram-md5',
          (stored) => {
            const expected = digestFor(stored, sent);
            return expected !== undefined && timingSafeEqual(expected, digest);
          },
        );
        return isRight ? { kind: 'success', finalData: undefined } : { kind: 'failure' };
      },
    };
  },
};
