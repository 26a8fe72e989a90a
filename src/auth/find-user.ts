// userdb as the mail store asks it, for owners of shared mailboxes.
import type { AuthMasterClient, UserFields } from './client.js';

/** @returns asks userdb; undefined when there is no such user @throws when auth cannot answer */
export function findUserBy(
  auth: AuthMasterClient,
  service: string,
): (name: string, signal: AbortSignal) => Promise<UserFields | undefined> {
  return async (name, signal) => {
    const found = await auth.lookup(name, service, signal);
    if (found.kind === 'temp_fail') throw new Error(found.reason);
    return found.kind === 'found' ? found.user : undefined;
  };
}
