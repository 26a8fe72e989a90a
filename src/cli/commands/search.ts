import type { CommandSpec } from '../command.js';

export const queryArgument = { syntax: '<query...>', doc: 'which messages: mailbox INBOX unseen since 2d (docs/roostadm.md)' };

export const search: CommandSpec = {
  name: 'search',
  summary: 'Find messages',
  arguments: [queryArgument],
  isMail: true,
  takesQuery: true,
  format: 'flow',
  async run(call) {
    const [{ parseQuery }, { forEachUser, printForUsers }, { forEachSelection }] = await Promise.all([
      import('../query.js'),
      import('../mail/each-user.js'),
      import('../mail/select-messages.js'),
    ]);
    const query = parseQuery(call.args, Date.now());
    const printer = printForUsers(call, [
      { key: 'mailbox-guid', hidesTitle: true },
      { key: 'uid', hidesTitle: true },
    ]);
    await forEachUser(call, (account) =>
      forEachSelection(account, query, { readOnly: true }, async ({ mailbox, view, seqs }) => {
        for (const seq of seqs) await printer.row(account, [mailbox.guid, view.uidAt(seq)]);
      }),
    );
    await printer.end();
  },
};
