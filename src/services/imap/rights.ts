// What the user of a session may do with a mailbox (RFC 4314 4).
import { denied, notFound } from '#storage/account-errors.js';
import { allRights } from '#storage/acl.js';
import { StorageError } from '#storage/errors.js';
import type { KeptFlags } from '#storage/mailbox.js';
import { type FlagSet, flagBit } from '#storage/types.js';
import type { MailUser } from '#storage/user.js';
import { namespaceOf } from './names.js';
import type { Session } from './session.js';

/** Lists hold where ACL is on, and for mailboxes of other users always. Where it is not so, `myRights` are all rights. */
export function isGuarded({ settings, user }: Session, mailbox: string): boolean {
  return settings.imap_acl || user.enforcesAcl || isOfAnother(user, mailbox);
}

/** The rights of this session's user; all where ACL is off. @throws StorageError `not-found` */
export async function myRights(session: Session, mailbox: string, signal: AbortSignal): Promise<string> {
  return isGuarded(session, mailbox) ? session.user.rightsOn(mailbox, signal) : allRights;
}

/** Mailboxes of private namespaces belong to the session's user, public ones to nobody. */
export function isOwner({ user }: Session, mailbox: string): boolean {
  return user.ownerOf(mailbox) === user.name;
}

function isOfAnother(user: MailUser, mailbox: string): boolean {
  if (!user.reachesOthers) return false;
  // Most servers have no such namespace, and each command asks.
  if (!user.namespaces.some(({ type }) => type === 'shared')) return false;
  const owner = user.ownerOf(mailbox);
  return owner !== undefined && owner !== user.name;
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
  if (isGuarded(session, mailbox)) await demandRightsOf(session.user, mailbox, needed, signal);
}

/** The same for a user who need not be the session's, where lists hold in any case. */
export async function demandRightsOf(user: MailUser, mailbox: string, needed: string, signal: AbortSignal): Promise<void> {
  let rights: string;
  try {
    rights = await user.rightsOn(mailbox, signal);
  } catch (error) {
    // What only holds other mailboxes has no list.
    if (error instanceof StorageError && error.code === 'not-selectable') return;
    throw error;
  }
  if ([...needed].every((right) => rights.includes(right))) return;
  // RFC 4314 6: to those who may not see it, it is not there.
  throw rights.includes('l') || user.ownerOf(mailbox) === user.name ? denied(mailbox) : notFound(mailbox);
}

/** The right to create below the nearest parent that is there (RFC 4314 4, CREATE); without one everybody may. */
export async function demandCreate(session: Session, mailbox: string, separator: string, signal: AbortSignal): Promise<void> {
  // Other users' mailboxes know themselves what may be made below them.
  if (!isGuarded(session, mailbox) || isOfAnother(session.user, mailbox)) return;
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
  if (rootLength > 0 && !(await session.user.rightsOn(mailbox.slice(0, rootLength), signal)).includes('k')) throw denied(mailbox);
}

/** The flags that these rights let change (RFC 4314 4); undefined when all of them. */
export function keptFlags(rights: string): KeptFlags | undefined {
  if (rights === allRights) return undefined;
  const can = (right: string): boolean => rights.includes(right);
  if (can('w') && can('s') && can('t')) return undefined;
  const own = flagBit.seen | flagBit.deleted;
  return { system: (can('s') ? flagBit.seen : 0) | (can('t') ? flagBit.deleted : 0) | (can('w') ? ~own : 0), keywords: can('w') };
}

/** Flags without those that may not be changed. */
export function permittedFlags(flags: FlagSet, rights: string): FlagSet {
  const kept = keptFlags(rights);
  return kept === undefined ? flags : { system: flags.system & kept.system, keywords: kept.keywords ? flags.keywords : [] };
}
