import type { Identity } from './plan.js';

/** Keys of per-user processes are `uid:gid`; the empty key is the service's own identity. */
export function identityOf(key: string): Identity | undefined {
  const match = /^(\d+):(\d+)$/.exec(key);
  return match === null ? undefined : { uid: Number(match[1]), gid: Number(match[2]) };
}

export function keyOf(identity: Identity | undefined): string {
  return identity === undefined ? '' : `${identity.uid}:${identity.gid}`;
}
