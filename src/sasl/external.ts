// EXTERNAL (RFC 4422 appendix A): the client certificate already proved who this is.
import { decodeUtf8, type SaslMechanism } from './mechanism.js';

export const external: SaslMechanism = {
  name: 'EXTERNAL',
  flags: [],
  start: (backend) => ({
    async step(response) {
      if (response === undefined) return { kind: 'challenge', octets: Buffer.alloc(0) };
      const wanted = decodeUtf8(response);
      if (wanted === undefined || wanted.includes('\0')) return { kind: 'malformed', reason: 'EXTERNAL response is not a name' };
      const proven = backend.certificateUser;
      if (proven === '') return { kind: 'failure' };
      const authorizationId = wanted === proven ? '' : wanted;
      const isRight = await backend.acceptWithoutPassword({ authenticationId: proven, authorizationId });
      return isRight ? { kind: 'success', finalData: undefined } : { kind: 'failure' };
    },
  }),
};
