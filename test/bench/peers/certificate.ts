import { makeSelfSigned } from '#services/master/dev/self-signed.js';

let made: { readonly cert: string; readonly key: string } | undefined;

/** One certificate for all servers of a run, so that TLS costs the same everywhere. */
export function certificate(): { readonly cert: string; readonly key: string } {
  if (made === undefined) {
    const { certificate: cert, key } = makeSelfSigned(['localhost', '127.0.0.1'], 30, new Date());
    made = { cert, key };
  }
  return made;
}
