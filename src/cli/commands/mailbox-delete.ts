import type { CommandSpec } from '../command.js';
import type { MailAccount } from '../mail/each-user.js';

export const mailboxDelete: CommandSpec = {
  name: 'mailbox delete',
  summary: 'Delete mailboxes with all their messages',
  arguments: [{ syntax: '<mailbox...>', doc: 'names' }],
  options: [
    { flags: '-e, --require-empty', doc: 'only when there is no message in it' },
    { flags: '-r, --recursive', doc: 'with everything below' },
    { flags: '-s, --subscriptions', doc: 'unsubscribe, too' },
    { flags: '-Z, --unsafe', doc: 'without effect: mailboxes with messages are deleted anyway' },
  ],
  isMail: true,
  format: 'flow',
  async run(call) {
    const { args, flag } = call;
    const { forEachUser } = await import('../mail/each-user.js');
    await forEachUser(call, async (account) => {
      for (const name of args) {
        for (const target of flag('recursive') ? await withChildren(account, name) : [name]) {
          try {
            await remove(account, target, flag('require-empty'));
            if (flag('subscriptions')) await account.mail.subscribe(target, false, account.signal);
          } catch (error) {
            account.failed(`Can't delete mailbox ${target}`, error);
          }
        }
      }
    });
  },
};

async function remove({ mail, signal, fail }: MailAccount, name: string, mustBeEmpty: boolean): Promise<void> {
  if (mustBeEmpty) {
    const mailbox = await mail.openMailbox(name, signal);
    const { messages } = await mailbox.status({ size: false }, signal);
    if (messages > 0) {
      fail('temporary', `Can't delete mailbox ${name}: Mailbox isn't empty`);
      return;
    }
  }
  await mail.delete(name, signal);
}

/** Children first. */
async function withChildren({ mail, signal }: MailAccount, name: string): Promise<readonly string[]> {
  const separators = new Set(mail.namespaces.map(({ separator }) => separator));
  const entries = await mail.list(['*'], { subscribedOnly: false }, signal);
  const children = entries.filter((entry) => separators.has(entry.separator) && entry.name.startsWith(name + entry.separator));
  return [...children.map((entry) => entry.name).reverse(), name];
}
