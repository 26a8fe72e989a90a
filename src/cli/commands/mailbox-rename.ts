import type { CommandSpec } from '../command.js';

export const mailboxRename: CommandSpec = {
  name: 'mailbox rename',
  summary: 'Rename a mailbox and what is below it',
  arguments: [
    { syntax: '<old>', doc: 'name' },
    { syntax: '<new>', doc: 'name' },
  ],
  options: [{ flags: '-s, --subscriptions', doc: 'move the subscription, too' }],
  isMail: true,
  format: 'flow',
  async run(call) {
    const { args, flag } = call;
    const [from = '', to = ''] = args;
    const { forEachUser } = await import('../mail/each-user.js');
    await forEachUser(call, async ({ mail, signal, failed }) => {
      try {
        await mail.rename(from, to, signal);
        if (!flag('subscriptions')) return;
        await mail.subscribe(to, true, signal);
        await mail.subscribe(from, false, signal);
      } catch (error) {
        failed(`Can't rename mailbox ${from} to ${to}`, error);
      }
    });
  },
};
