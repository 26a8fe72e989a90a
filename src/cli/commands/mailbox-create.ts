import type { CommandSpec } from '../command.js';

export const mailboxCreate: CommandSpec = {
  name: 'mailbox create',
  summary: 'Create mailboxes',
  arguments: [{ syntax: '<mailbox...>', doc: 'names' }],
  options: [{ flags: '-s, --subscriptions', doc: 'subscribe to them, too' }],
  isMail: true,
  format: 'flow',
  async run(call) {
    const { args, flag } = call;
    const { forEachUser } = await import('../mail/each-user.js');
    await forEachUser(call, async ({ mail, signal, failed }) => {
      for (const name of args) {
        try {
          await mail.create(name, { specialUse: [] }, signal);
          if (flag('subscriptions')) await mail.subscribe(name, true, signal);
        } catch (error) {
          failed(`Can't create mailbox ${name}`, error);
        }
      }
    });
  },
};
