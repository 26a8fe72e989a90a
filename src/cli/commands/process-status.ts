import type { CommandSpec } from '../command.js';
import { unixTimeCell } from '../time-text.js';

export const processStatus: CommandSpec = {
  name: 'process status',
  summary: 'Show the processes of the services',
  arguments: [{ syntax: '[service...]', doc: 'only of these' }],
  format: 'table',
  async run({ args, context, print }) {
    const { processes = [], templates = [] } = await context.askMaster({ command: 'process-status', services: args });
    const printer = print([
      { key: 'name' },
      { key: 'pid', alignsRight: true },
      { key: 'available_count', alignsRight: true },
      { key: 'total_count', alignsRight: true },
      { key: 'clients', alignsRight: true },
      { key: 'idle_start', alignsRight: true },
      { key: 'started', alignsRight: true },
      { key: 'phase' },
      { key: 'rss_kb', alignsRight: true },
      { key: 'user' },
    ]);
    for (const row of processes) {
      await printer.row([
        row.service,
        row.pid,
        row.available,
        row.served,
        row.clients,
        unixTimeCell(row.idleSince),
        unixTimeCell(row.startedAt),
        row.phase,
        Math.round(row.rssBytes / 1024),
        row.identity,
      ]);
    }
    // What a template has served are its copies.
    for (const row of templates) {
      const phase = row.isReady ? 'template' : 'template-starting';
      const rss = Math.round(row.rssBytes / 1024);
      await printer.row([row.service, row.pid, 0, row.copies, 0, unixTimeCell(undefined), unixTimeCell(row.startedAt), phase, rss, '']);
    }
    await printer.end();
  },
};
