import type { CommandSpec } from '../command.js';

/** Messages looked at before others may have their turn. */
const slice = 500;

export const index: CommandSpec = {
  name: 'index',
  summary: 'Bring the index and cache of mailboxes up to date, so that the next session finds them ready',
  arguments: [{ syntax: '<mask...>', doc: 'names with * (anything) and % (one level)' }],
  options: [
    { flags: '-n, --max-recent <count>', doc: 'leave out mailboxes with more new messages than this' },
    { flags: '-q, --queue', doc: 'without effect: it is done at once' },
  ],
  isMail: true,
  format: 'flow',
  async run(call) {
    const { args, context, text } = call;
    const [{ forEachUser }, { AdminError }] = await Promise.all([import('../mail/each-user.js'), import('../exit-codes.js')]);
    const limit = text('max-recent');
    if (limit !== undefined && !/^\d{1,9}$/.test(limit)) throw new AdminError('usage', `Invalid number: ${limit}`);
    const needs = { size: true, internalDate: true, envelope: true, bodyStructure: true, preview: true };
    await forEachUser(call, async ({ mail, signal, failed, log }) => {
      for (const { name, isSelectable } of await mail.list(args, { subscribedOnly: false }, signal)) {
        if (!isSelectable) continue;
        try {
          const mailbox = await mail.openMailbox(name, signal);
          await using view = await mailbox.openView({ readOnly: true }, signal);
          if (limit !== undefined && view.recentCount > Number(limit)) continue;
          for (let seq = 1; seq <= view.count; seq += slice) {
            const seqs = Array.from({ length: Math.min(slice, view.count - seq + 1) }, (_, at) => seq + at);
            await view.prepare(seqs, needs, signal);
          }
          if (context.isVerbose) log.info('index.done', `${name}: ${view.count} messages`);
        } catch (error) {
          failed(`Mailbox ${name}: Opening failed`, error);
        }
      }
    });
  },
};
