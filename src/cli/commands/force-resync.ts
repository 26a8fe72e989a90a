import type { CommandSpec } from '../command.js';

export const forceResync: CommandSpec = {
  name: 'force-resync',
  summary: 'Make the index of mailboxes anew from their messages; UIDs, flags and keywords stay',
  arguments: [{ syntax: '<mask>', doc: 'names with * (anything) and % (one level)' }],
  options: [{ flags: '-f, --fsck', doc: 'without effect: it is always made anew' }],
  isMail: true,
  format: 'flow',
  async run(call) {
    const { forEachUser } = await import('../mail/each-user.js');
    await forEachUser(call, async ({ mail, signal, failed, log }) => {
      for (const { name, isSelectable } of await mail.list(call.args, { subscribedOnly: false }, signal)) {
        if (!isSelectable) continue;
        try {
          await mail.dropIndex?.(name, signal);
          const mailbox = await mail.openMailbox(name, signal);
          await using view = await mailbox.openView({ readOnly: true }, signal);
          log.info('resync.done', `${name}: ${view.count} messages`);
        } catch (error) {
          failed(`Forcing a resync on mailbox ${name} failed`, error);
        }
      }
    });
  },
};
