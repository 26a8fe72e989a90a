import type { CommandSpec } from '../command.js';
import { queryArgument } from './search.js';

export const expunge: CommandSpec = {
  name: 'expunge',
  summary: 'Delete messages for good',
  arguments: [queryArgument],
  options: [{ flags: '-d, --delete-empty-mailbox', doc: 'delete mailboxes that are empty then' }],
  isMail: true,
  takesQuery: true,
  format: 'flow',
  async run(call) {
    const [{ namesMailbox, namesMessages, parseQuery }, { forEachUser }, { forEachSelection }, { AdminError }] = await Promise.all([
      import('../query.js'),
      import('../mail/each-user.js'),
      import('../mail/select-messages.js'),
      import('../exit-codes.js'),
    ]);
    const query = parseQuery(call.args, Date.now());
    const refuse = (text: string): Error => new AdminError('usage', `expunge: To avoid accidents, ${text}`);
    if (!namesMailbox(query)) throw refuse('search query must contain MAILBOX in all search branches');
    if (!namesMessages(query)) {
      throw refuse('each branch in search query must contain something else besides MAILBOX (e.g. just add "all" if you want everything)');
    }
    await forEachUser(call, async (account) => {
      const emptied: string[] = [];
      await forEachSelection(account, query, { readOnly: false }, async ({ mailbox, view, seqs }) => {
        const uids = seqs.map((seq) => view.uidAt(seq));
        await view.expunge(uids, account.signal, 'any');
        await view.sync({ allowExpunge: true }, account.signal);
        if (view.count === 0) emptied.push(mailbox.name);
      });
      if (!call.flag('delete-empty-mailbox')) return;
      for (const name of emptied) {
        if (name === 'INBOX') continue;
        try {
          await account.mail.delete(name, account.signal);
        } catch (error) {
          account.failed(`Can't delete mailbox ${name}`, error);
        }
      }
    });
  },
};
