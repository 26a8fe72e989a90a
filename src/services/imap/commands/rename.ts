import { parseRename } from '#protocol/imap/commands/rename.js';
import { row } from '../command-spec.js';
import { checkNewName, parentOf, separatorOf } from '../names.js';
import { ok } from '../outcome.js';
import { demandCreate, demandRights } from '../rights.js';

export const renameRow = row({
  name: 'RENAME',
  state: 'authenticated',
  flags: [],
  parse: parseRename,
  async run(session, { from, to }, { signal }) {
    checkNewName(session, to);
    const separator = separatorOf(session.user, to);
    await demandRights(session, from, 'x', signal);
    await demandCreate(session, to, separator, signal);
    const target = to.endsWith(separator) ? to.slice(0, -separator.length) : to;
    await session.user.rename(from, target, signal);
    session.notify?.expectNames([from, target, parentOf(from, separator), parentOf(target, separator)]);
    return ok('Rename completed.');
  },
});
