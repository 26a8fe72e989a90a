// What the user of a session may do with a mailbox (RFC 4314 4).
import { type AclEntry, allRights, grantedRights, ownerRights } from '#storage/acl.js';
import { StorageError } from '#storage/errors.js';
import { namespaceOf } from './names.js';
import type { Session } from './session.js';

/** The rights of this session's user; all where ACL is off. @throws StorageError `not-found` */
export async function myRights(session: Session, mailbox: string, signal: AbortSignal): Promise<string> {
  if (!session.settings.imap_acl) return allRights;
  return rightsIn(session, mailbox, await session.user.readAcl(mailbox, signal));
}

/** Mailboxes of private namespaces belong to the session's user, others to nobody. */
export function isOwner({ user }: Session, mailbox: string): boolean {
  return namespaceOf(user, mailbox)?.type !== 'public' && namespaceOf(user, mailbox)?.type !== 'shared';
}

/** The rights of this session's user by the list of a mailbox. */
export function rightsIn(session: Session, mailbox: string, entries: readonly AclEntry[]): string {
  const { name } = session.user;
  return isOwner(session, mailbox) ? ownerRights(entries, name) : grantedRights(entries, name);
}

/**
 * Rights as replies list them: with `c` and `d` of RFC 2086, which older clients look for, where one of the rights they stand for is there
 * (RFC 4314 2.1.1).
 */
export function listedRights(rights: string): string {
  return `${rights}${rights.includes('k') ? 'c' : ''}${/[xte]/.test(rights) ? 'd' : ''}`;
}

/** @param needed letters, all of which are needed @throws StorageError `no-permission`, `not-found` */
export async function demandRights(session: Session, mailbox: string, needed: string, signal: AbortSignal): Promise<void> {
  if (!session.settings.imap_acl) return;
  let rights: string;
  try {
    rights = await myRights(session, mailbox, signal);
  } catch (error) {
    // What only holds other mailboxes has no list.
    if (error instanceof StorageError && error.code === 'not-selectable') return;
    throw error;
  }
  if ([...needed].every((right) => rights.includes(right))) return;
  // RFC 4314 6: to those who may not see it, it is not there.
  if (!rights.includes('l') && !isOwner(session, mailbox)) throw new StorageError('not-found', `no right to see ${mailbox}`);
  throw denied(mailbox);
}

export function denied(mailbox: string): StorageError {
  return new StorageError('no-permission', `no permission for ${mailbox}`, { clientText: 'Permission denied' });
}

/** The right to create below the nearest parent that is there (RFC 4314 4, CREATE); without one everybody may. */
export async function demandCreate(session: Session, mailbox: string, separator: string, signal: AbortSignal): Promise<void> {
  if (!session.settings.imap_acl) return;
  const namespace = namespaceOf(session.user, mailbox);
  const rootLength = isOwner(session, mailbox) ? 0 : (namespace?.prefix.length ?? 0) - 1;
  for (let at = mailbox.lastIndexOf(separator); at > Math.max(rootLength, 0); at = mailbox.lastIndexOf(separator, at - 1)) {
    try {
      await demandRights(session, mailbox.slice(0, at), 'k', signal);
      return;
    } catch (error) {
      // A parent that is hidden is there all the same.
      if (!(error instanceof StorageError) || error.code === 'no-permission') throw error;
    }
  }
  // What nobody owns has a list for its root, too.
  if (rootLength > 0 && !rightsIn(session, mailbox, await session.user.readAcl(mailbox.slice(0, rootLength), signal)).includes('k'))
    throw denied(mailbox);
}
