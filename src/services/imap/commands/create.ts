import { parseCreate } from '#protocol/imap/commands/create.js';
import type { SpecialUse } from '#storage/user.js';
import { row } from '../command-spec.js';
import { checkNewName, parentOf, separatorOf } from '../names.js';
import { no, ok } from '../outcome.js';
import { demandCreate } from '../rights.js';

/** Those that a mailbox of its own can have: \All and \Flagged are views of other mailboxes (RFC 6154 2). */
const settableUses: readonly SpecialUse[] = ['\\Archive', '\\Drafts', '\\Important', '\\Junk', '\\Sent', '\\Trash'];

/** Attributes as written; undefined when one of them cannot be set. */
export function toSpecialUses(names: readonly string[]): SpecialUse[] | undefined {
  const uses = names.map((name) => settableUses.find((use) => use.toLowerCase() === name.toLowerCase()));
  return uses.every((use) => use !== undefined) ? [...new Set(uses)] : undefined;
}

export const createRow = row({
  name: 'CREATE',
  state: 'authenticated',
  flags: [],
  parse: parseCreate,
  async run(session, { mailbox, specialUse }, { signal }) {
    const uses = toSpecialUses(specialUse);
    if (uses === undefined) return no('This special use cannot be given to a mailbox.', 'USEATTR');
    checkNewName(session, mailbox);
    const separator = separatorOf(session.user, mailbox);
    // A trailing separator says that children will follow (RFC 9051 6.3.4); here every mailbox may have children.
    const name = mailbox.endsWith(separator) ? mailbox.slice(0, -separator.length) : mailbox;
    await demandCreate(session, name, separator, signal);
    const { guid } = await session.user.create(name, { specialUse: uses }, signal);
    session.notify?.expectNames([name, parentOf(name, separator)]);
    return ok('Create completed.', `MAILBOXID (${guid})`);
  },
});
