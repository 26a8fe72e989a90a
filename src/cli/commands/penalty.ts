import type { CommandSpec } from '../command.js';

export const penalty: CommandSpec = {
  name: 'penalty',
  summary: 'Show addresses whose logins are slowed down after failures',
  arguments: [{ syntax: '[filter...]', doc: 'addresses or networks (192.0.2.0/24)' }],
  format: 'table',
  async run({ args, context, print }) {
    const [{ listPenalties }, { asking }, { NetworkList }, { clockText, dateTimeCell }] = await Promise.all([
      import('#ipc/anvil-admin.js'),
      import('../sessions.js'),
      import('#service-kit/addresses.js'),
      import('../time-text.js'),
    ]);
    const wanted = new NetworkList(args);
    const penalties = await asking(async () => listPenalties(await context.baseDir()));
    const printer = print([{ key: 'IP' }, { key: 'penalty', alignsRight: true }, { key: 'last_penalty' }, { key: 'last_update' }]);
    for (const { address, value, lastSeconds } of penalties) {
      if (args.length > 0 && !wanted.includes(address)) continue;
      const lastMs = lastSeconds * 1000;
      await printer.row([address, value, dateTimeCell(lastMs), { shown: clockText(lastMs), json: new Date(lastMs).toISOString() }]);
    }
    await printer.end();
  },
};
