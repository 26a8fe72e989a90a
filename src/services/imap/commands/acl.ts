// ACL (RFC 4314): of the user's own mailboxes, and of those that several users share.
import { parseAclIdentifier, parseSetAcl } from '#protocol/imap/commands/acl.js';
import { parseMailboxOnly } from '#protocol/imap/commands/no-arguments.js';
import { encodeAstring } from '#protocol/imap/encoder.js';
import { encodeUtf8 } from '#protocol/imap/grammar.js';
import { notFound } from '#storage/account-errors.js';
import { allRights, normalizeRights, ownerRights } from '#storage/acl.js';
import { row } from '../command-spec.js';
import { bad, ok } from '../outcome.js';
import { demandRights, isOwner, listedRights, myRights } from '../rights.js';
import type { Session } from '../session.js';

const off = bad('ACL disabled.');

/** RFC 4314 2.1.1: `c` and `d` of RFC 2086 stand for several rights. */
function expandRights(rights: string): string | undefined {
  const expanded = rights.replaceAll('c', 'k').replaceAll('d', 'xte');
  return [...expanded].every((right) => allRights.includes(right)) ? normalizeRights(expanded) : undefined;
}

/**
 * IMAP's identifier to that of the file: the name of the mailbox's owner is `owner`, `$name` a group, `!$name` one whose rights replace all others, `-`
 * in front takes rights away.
 */
function toFileIdentifier(session: Session, mailbox: string, identifier: string): string {
  const sign = identifier.startsWith('-') ? '-' : '';
  const name = identifier.slice(sign.length);
  if (name === 'anyone' || name === 'authenticated') return sign + name;
  if (name === 'owner' || name === session.user.ownerOf(mailbox)) return `${sign}owner`;
  if (name.startsWith('!$')) return `${sign}group-override=${name.slice(2)}`;
  return sign + (name.startsWith('$') ? `group=${name.slice(1)}` : `user=${name}`);
}

const shownKinds: Readonly<Record<string, string>> = { 'user=': '', 'group=': '$', 'group-override=': '!$' };

function fromFileIdentifier(session: Session, mailbox: string, identifier: string): string {
  const sign = identifier.startsWith('-') ? '-' : '';
  const name = identifier.slice(sign.length);
  const owner = session.user.ownerOf(mailbox);
  if (name === 'owner' && owner !== undefined) return sign + owner;
  return sign + name.replace(/^(?:user|group|group-override)=/, (kind) => shownKinds[kind] ?? kind);
}

/** RFC 4314 4. The owner always may. */
async function demandAdmin(session: Session, mailbox: string, signal: AbortSignal): Promise<void> {
  if (!isOwner(session, mailbox)) await demandRights(session, mailbox, 'a', signal);
}

const shown = (session: Session, text: string): string => encodeAstring(encodeUtf8(text), session.isUtf8);

export const getAclRow = row({
  name: 'GETACL',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseMailboxOnly,
  async run(session, { mailbox }, { signal }) {
    if (!session.settings.imap_acl) return off;
    await demandAdmin(session, mailbox, signal);
    const entries = await session.user.readAcl(mailbox, signal);
    const owner = session.user.ownerOf(mailbox);
    const own = new Set(owner === undefined ? [] : ['owner', `user=${owner}`]);
    const pairs = entries
      .filter(({ identifier }) => !own.has(identifier))
      .map(
        ({ identifier, rights }) =>
          ` ${shown(session, fromFileIdentifier(session, mailbox, identifier))} ${rights === '' ? '""' : listedRights(rights)}`,
      );
    if (owner !== undefined) pairs.push(` ${shown(session, owner)} ${listedRights(ownerRights(entries, { name: owner, groups: [] }))}`);
    session.text(`* ACL ${session.mailboxName(mailbox)}${pairs.join('')}\r\n`);
    return ok('Getacl completed.');
  },
});

export const myRightsRow = row({
  name: 'MYRIGHTS',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseMailboxOnly,
  async run(session, { mailbox }, { signal }) {
    if (!session.settings.imap_acl) return off;
    const rights = await myRights(session, mailbox, signal);
    // RFC 4314 3.5, 4: it takes one of these rights to know them.
    if (!isOwner(session, mailbox) && !/[lrikxa]/.test(rights)) throw notFound(mailbox);
    session.text(`* MYRIGHTS ${session.mailboxName(mailbox)} ${listedRights(rights)}\r\n`);
    return ok('Myrights completed.');
  },
});

export const listRightsRow = row({
  name: 'LISTRIGHTS',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseAclIdentifier,
  async run(session, { mailbox, identifier }, { signal }) {
    if (!session.settings.imap_acl) return off;
    await demandAdmin(session, mailbox, signal);
    await session.user.readAcl(mailbox, signal);
    // The owner cannot lose the right to administer.
    const isOwners = identifier === session.user.ownerOf(mailbox);
    const optional = [...listedRights(allRights)].filter((right) => !isOwners || right !== 'a').join(' ');
    session.text(`* LISTRIGHTS ${session.mailboxName(mailbox)} ${shown(session, identifier)} ${isOwners ? 'a' : '""'} ${optional}\r\n`);
    return ok('Listrights completed.');
  },
});

export const setAclRow = row({
  name: 'SETACL',
  state: 'authenticated',
  flags: [],
  parse: parseSetAcl,
  async run(session, { mailbox, identifier, mode, rights: text }, { signal }) {
    if (!session.settings.imap_acl) return off;
    const rights = expandRights(text);
    if (rights === undefined) return bad('Error in IMAP command SETACL: Unknown right');
    await demandAdmin(session, mailbox, signal);
    const name = toFileIdentifier(session, mailbox, identifier);
    // Sharing with everybody is the administrator's to allow (`acl_anyone = allow`), except where everything is everybody's.
    if (!session.user.allowsAnyone && session.user.ownerOf(mailbox) !== undefined && /^-?(?:anyone|authenticated)$/.test(name))
      return bad(`Error in IMAP command SETACL: '${identifier}' identifier is disallowed`);
    const entries = await session.user.readAcl(mailbox, signal);
    const owner = session.user.ownerOf(mailbox);
    const isOwners = (file: string): boolean => file === 'owner' && owner !== undefined;
    const before = isOwners(name)
      ? ownerRights(entries, { name: owner ?? '', groups: [] })
      : (entries.find((entry) => entry.identifier === name)?.rights ?? '');
    const after =
      mode === 'replace' ? rights : mode === 'add' ? before + rights : [...before].filter((right) => !rights.includes(right)).join('');
    // The owner stays able to undo it.
    await session.user.setAcl(mailbox, name, normalizeRights(isOwners(name) ? `${after}a` : after), signal);
    return ok('Setacl complete.');
  },
});

export const deleteAclRow = row({
  name: 'DELETEACL',
  state: 'authenticated',
  flags: [],
  parse: parseAclIdentifier,
  async run(session, { mailbox, identifier }, { signal }) {
    if (!session.settings.imap_acl) return off;
    await demandAdmin(session, mailbox, signal);
    await session.user.setAcl(mailbox, toFileIdentifier(session, mailbox, identifier), undefined, signal);
    return ok('Deleteacl complete.');
  },
});
