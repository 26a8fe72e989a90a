// The keys of sealed logins (auth/claim-token.ts), as the master hands them out: auth can make them all, a process that runs as one user gets that
// user's only.
import { createHmac } from 'node:crypto';

/** In base64. Either the secret of which all keys are made, or keys by identity. */
export interface ClaimKeys {
  readonly secret?: string;
  readonly keys?: Readonly<Record<string, string>>;
}

export function claimKeyOf(secret: Buffer, identity: string): Buffer {
  return createHmac('sha256', secret).update(identity).digest();
}

interface UserIds {
  readonly uid: number;
  readonly gid: number;
}

/**
 * For a process that runs as one user.
 * @param fallback who users are of whom the userdb does not say it
 */
export function claimKeysOf(secret: Buffer, { uid, gid }: UserIds, fallback: UserIds | undefined): ClaimKeys {
  const uids = uid === fallback?.uid ? [String(uid), ''] : [String(uid)];
  const gids = gid === fallback?.gid ? [String(gid), ''] : [String(gid)];
  const identities = uids.flatMap((own) => gids.map((group) => `${own}:${group}`));
  return { keys: Object.fromEntries(identities.map((identity) => [identity, claimKeyOf(secret, identity).toString('base64')])) };
}
