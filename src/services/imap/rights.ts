// What the user of a session may do with a mailbox (RFC 4314 4).
import { allRights, ownerRights } from '#storage/acl.js';
import { StorageError } from '#storage/errors.js';
import type { Session } from './session.js';

/** The rights of this session's user; all where ACL is off. @throws StorageError `not-found` */
export async function myRights(session: Session, mailbox: string, signal: AbortSignal): Promise<string> {
  if (!session.settings.imap_acl) return allRights;
  return ownerRights(await session.user.readAcl(mailbox, signal), session.user.name);
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
  if ([...needed].some((right) => !rights.includes(right))) throw denied(mailbox);
}

export function denied(mailbox: string): StorageError {
  return new StorageError('no-permission', `no permission for ${mailbox}`, { clientText: 'Permission denied' });
}

/** The right to create below the nearest parent that is there (RFC 4314 4, CREATE); without one everybody may. */
export async function demandCreate(session: Session, mailbox: string, separator: string, signal: AbortSignal): Promise<void> {
  if (!session.settings.imap_acl) return;
  for (let at = mailbox.lastIndexOf(separator); at > 0; at = mailbox.lastIndexOf(separator, at - 1)) {
    try {
      await demandRights(session, mailbox.slice(0, at), 'k', signal);
      return;
    } catch (error) {
      if (!(error instanceof StorageError) || error.code === 'no-permission') throw error;
    }
  }
}
