// PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login, as clients use it).
import { decodeUtf8, hasForbiddenCharacter, type SaslMechanism, type SaslStep } from './mechanism.js';

const failed: SaslStep = { kind: 'failure' };
const accepted: SaslStep = { kind: 'success', finalData: undefined };
const malformed = (reason: string): SaslStep => ({ kind: 'malformed', reason });

export const plain: SaslMechanism = {
  name: 'PLAIN',
  flags: ['plaintext'],
  start: (backend) => ({
    async step(response) {
      if (response === undefined) return { kind: 'challenge', octets: Buffer.alloc(0) };
      const text = decodeUtf8(response);
      if (text === undefined) return malformed('PLAIN response is not UTF-8');
      const parts = text.split('\0');
      const [authorizationId = '', authenticationId = '', password = ''] = parts;
      if (parts.length !== 3) return malformed('PLAIN response needs two NULs');
      if (authenticationId === '') return malformed('PLAIN response has no user name');
      if (hasForbiddenCharacter(password)) return malformed('Attempted login with password having illegal chars');
      return (await backend.verifyPassword({ authenticationId, authorizationId }, password)) ? accepted : failed;
    },
  }),
};

export const login: SaslMechanism = {
  name: 'LOGIN',
  flags: ['plaintext'],
  start: (backend) => {
    let user: string | undefined;
    return {
      async step(response) {
        if (response === undefined) return { kind: 'challenge', octets: Buffer.from('Username:') };
        const text = decodeUtf8(response);
        if (text === undefined) return malformed('LOGIN response is not UTF-8');
        if (user === undefined) {
          if (text === '' || text.includes('\0')) return malformed('LOGIN response has no user name');
          user = text;
          return { kind: 'challenge', octets: Buffer.from('Password:') };
        }
        if (hasForbiddenCharacter(text)) return malformed('Attempted login with password having illegal chars');
        const identity = { authenticationId: user, authorizationId: '' };
        return (await backend.verifyPassword(identity, text)) ? accepted : failed;
      },
    };
  },
};
