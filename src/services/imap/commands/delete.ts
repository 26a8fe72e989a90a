import { parseMailboxOnly } from '#protocol/imap/commands/no-arguments.js';
import { row } from '../command-spec.js';
import { parentOf, separatorOf } from '../names.js';
import { ok } from '../outcome.js';
import { demandRights } from '../rights.js';

export const deleteRow = row({
  name: 'DELETE',
  state: 'authenticated',
  flags: [],
  parse: parseMailboxOnly,
  async run(session, { mailbox }, { signal }) {
    await demandRights(session, mailbox, 'x', signal);
    const isSelected = session.selectedView?.mailbox.name === mailbox;
    await session.user.delete(mailbox, signal);
    // Deleting what one has selected ends the selection; otherwise the next sync would end the connection. A DELETE that fails changes nothing (RFC
    // 9051 6).
    if (isSelected) {
      await session.deselect();
      session.text('* OK [CLOSED] Previous mailbox closed.\r\n');
    }
    session.notify?.expectNames([mailbox, parentOf(mailbox, separatorOf(session.user, mailbox))]);
    return ok('Delete completed.');
  },
});
