// ACL (RFC 4314) for the owner of the mailboxes.
import { parseAclIdentifier, parseSetAcl } from '#protocol/imap/commands/acl.js';
import { parseMailboxOnly } from '#protocol/imap/commands/no-arguments.js';
import { encodeAstring } from '#protocol/imap/encoder.js';
import { encodeUtf8 } from '#protocol/imap/grammar.js';
import { allRights, normalizeRights, ownerRights } from '#storage/acl.js';
import { row } from '../command-spec.js';
import { bad, ok } from '../outcome.js';
import { listedRights, myRights } from '../rights.js';
import type { Session } from '../session.js';

const off = bad('ACL disabled.');

/** RFC 4314 2.1.1: `c` and `d` of RFC 2086 stand for several rights. */
function expandRights(rights: string): string | undefined {
  const expanded = rights.replaceAll('c', 'k').replaceAll('d', 'xte');
  return [...expanded].every((right) => allRights.includes(right)) ? normalizeRights(expanded) : undefined;
}

/** IMAP's identifier to that of the file: the own name is `owner`, `$name` a group, `-` in front takes rights away. */
function toFileIdentifier(session: Session, identifier: string): string {
  const sign = identifier.startsWith('-') ? '-' : '';
  const name = identifier.slice(sign.length);
  if (name === 'anyone' || name === 'authenticated') return sign + name;
  if (name === session.user.name) return `${sign}owner`;
  return sign + (name.startsWith('$') ? `group=${name.slice(1)}` : `user=${name}`);
}

function fromFileIdentifier(session: Session, identifier: string): string {
  const sign = identifier.startsWith('-') ? '-' : '';
  const name = identifier.slice(sign.length);
  if (name === 'owner') return sign + session.user.name;
  return sign + name.replace(/^user=/, '').replace(/^group(?:-override)?=/, '$');
}

const shown = (session: Session, text: string): string => encodeAstring(encodeUtf8(text), session.isUtf8);

export const getAclRow = row({
  name: 'GETACL',
  state: 'authenticated',
  flags: ['beside-search'],
  parse: parseMailboxOnly,
  async run(session, { mailbox }, { signal }) {
    if (!session.settings.imap_acl) return off;
    const entries = await session.user.readAcl(mailbox, signal);
    const own = new Set(['owner', `user=${session.user.name}`]);
    const pairs = entries
      .filter(({ identifier }) => !own.has(identifier))
      .map(
        ({ identifier, rights }) =>
          ` ${shown(session, fromFileIdentifier(session, identifier))} ${rights === '' ? '""' : listedRights(rights)}`,
      );
    pairs.push(` ${shown(session, session.user.name)} ${listedRights(ownerRights(entries, session.user.name))}`);
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
    session.text(`* MYRIGHTS ${session.mailboxName(mailbox)} ${listedRights(await myRights(session, mailbox, signal))}\r\n`);
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
    await session.user.readAcl(mailbox, signal);
    // The owner cannot lose the right to administer.
    const isOwner = identifier === session.user.name;
    const optional = [...listedRights(allRights)].filter((right) => !isOwner || right !== 'a').join(' ');
    session.text(`* LISTRIGHTS ${session.mailboxName(mailbox)} ${shown(session, identifier)} ${isOwner ? 'a' : '""'} ${optional}\r\n`);
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
    const name = toFileIdentifier(session, identifier);
    const entries = await session.user.readAcl(mailbox, signal);
    const before =
      name === 'owner' ? ownerRights(entries, session.user.name) : (entries.find((entry) => entry.identifier === name)?.rights ?? '');
    const after =
      mode === 'replace' ? rights : mode === 'add' ? before + rights : [...before].filter((right) => !rights.includes(right)).join('');
    // The owner stays able to undo it.
    await session.user.setAcl(mailbox, name, normalizeRights(name === 'owner' ? `${after}a` : after), signal);
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
    await session.user.setAcl(mailbox, toFileIdentifier(session, identifier), undefined, signal);
    return ok('Deleteacl complete.');
  },
});
