import type { CommandSpec } from '../command.js';

export const authCacheFlush: CommandSpec = {
  name: 'auth cache flush',
  summary: 'Forget what auth has cached, of these users or of all',
  arguments: [{ syntax: '[user...]', doc: 'user names' }],
  format: 'flow',
  async run({ args, context, isJson, print, say }) {
    const auth = await context.authMaster();
    const count = await auth.flushCache(args, context.signal);
    if (isJson) {
      const printer = print([{ key: 'entries' }]);
      await printer.row([count]);
      await printer.end();
    }
    await say(`${count} cache entries flushed\n`);
  },
};
