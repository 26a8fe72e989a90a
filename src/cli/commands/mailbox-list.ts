import type { CommandSpec } from '../command.js';

export const mailboxList: CommandSpec = {
  name: 'mailbox list',
  summary: 'List mailboxes',
  arguments: [{ syntax: '[mask...]', doc: 'names with * (anything) and % (one level)' }],
  options: [
    { flags: '-s, --subscriptions', doc: 'only subscribed ones' },
    { flags: '-8, --utf8', doc: 'names in UTF-8 (the default)' },
    { flags: '-7, --mutf7', doc: "names in IMAP's modified UTF-7" },
  ],
  isMail: true,
  format: 'flow',
  async run(call) {
    const { args, flag } = call;
    const [{ forEachUser, printForUsers }, { encodeModifiedUtf7 }] = await Promise.all([
      import('../mail/each-user.js'),
      import('../modified-utf7.js'),
    ]);
    const printer = printForUsers(call, [{ key: 'mailbox', hidesTitle: true }]);
    await forEachUser(call, async (account) => {
      const { mail, signal } = account;
      const patterns = args.length === 0 ? ['*'] : args;
      const entries = await mail.list(patterns, { subscribedOnly: flag('subscriptions') }, signal);
      for (const { name, isSubscribed } of entries) {
        if (flag('subscriptions') && !isSubscribed) continue;
        await printer.row(account, [flag('mutf7') ? encodeModifiedUtf7(name) : name]);
      }
    });
    await printer.end();
  },
};
