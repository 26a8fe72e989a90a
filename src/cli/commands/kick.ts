import type { CommandSpec } from '../command.js';

export const kick: CommandSpec = {
  name: 'kick',
  summary: 'End sessions',
  arguments: [{ syntax: '[filter...]', doc: 'user names with * and ?, and addresses or networks (192.0.2.0/24)' }],
  options: [{ flags: '-f, --force', doc: 'without effect: no session ends but those that match, even in a shared process' }],
  format: 'flow',
  async run({ args, context, print, say }) {
    const [{ asking, findSessions, groupSessions }, { kickSessions }, { AdminError }] = await Promise.all([
      import('../sessions.js'),
      import('#ipc/anvil-admin.js'),
      import('../exit-codes.js'),
    ]);
    if (args.length === 0) throw new AdminError('usage', 'user and/or ip[/bits] must be specified.', { level: 'Error' });
    const sessions = await findSessions(context, args);
    const ids = sessions.map(({ sessionId }) => sessionId);
    const count = await asking(async () => kickSessions(await context.baseDir(), ids));
    const printer = print([{ key: 'result', hidesTitle: true }, { key: 'sessions' }]);
    if (count === 0) {
      await printer.end();
      await say('no users kicked\n');
      context.fail('not-found', '');
      return;
    }
    await say('kicked connections from the following users:\n');
    for (const group of groupSessions(sessions)) await printer.row([group[0]?.user ?? '', group.length]);
    await printer.end();
  },
};
