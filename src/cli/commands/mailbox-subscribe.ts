import type { CommandCall, CommandSpec } from '../command.js';

const names = [{ syntax: '<mailbox...>', doc: 'names' }];

export const mailboxSubscribe: CommandSpec = {
  name: 'mailbox subscribe',
  summary: 'Subscribe to mailboxes',
  arguments: names,
  isMail: true,
  format: 'flow',
  run: (call) => change(call, true),
};

export const mailboxUnsubscribe: CommandSpec = {
  name: 'mailbox unsubscribe',
  summary: 'End the subscription of mailboxes',
  arguments: names,
  isMail: true,
  format: 'flow',
  run: (call) => change(call, false),
};

async function change(call: CommandCall, subscribed: boolean): Promise<void> {
  const { forEachUser } = await import('../mail/each-user.js');
  await forEachUser(call, async ({ mail, signal, failed }) => {
    for (const name of call.args) {
      try {
        await mail.subscribe(name, subscribed, signal);
      } catch (error) {
        failed(`Can't ${subscribed ? 'subscribe to' : 'unsubscribe from'} mailbox ${name}`, error);
      }
    }
  });
}
