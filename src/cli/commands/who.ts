import type { CommandSpec } from '../command.js';

export const who: CommandSpec = {
  name: 'who',
  summary: 'Show who is logged in',
  arguments: [{ syntax: '[filter...]', doc: 'user names with * and ?, and addresses or networks (192.0.2.0/24)' }],
  options: [{ flags: '-1, --one-line', doc: 'a line for each session' }],
  format: 'table',
  async run({ args, context, flag, print }) {
    const { findSessions, groupSessions } = await import('../sessions.js');
    const sessions = await findSessions(context, args);
    if (flag('one-line')) {
      const printer = print([
        { key: 'username' },
        { key: 'service', title: 'proto' },
        { key: 'pid' },
        { key: 'ip' },
        { key: 'session' },
        { key: 'since' },
      ]);
      const { dateTimeCell } = await import('../time-text.js');
      for (const { user, service, pid, remoteIp, sessionId, sinceSeconds } of sessions) {
        await printer.row([user, service, pid, remoteIp, sessionId, dateTimeCell(sinceSeconds * 1000)]);
      }
      await printer.end();
      return;
    }
    const printer = print([
      { key: 'username' },
      { key: 'connections', title: '#', alignsRight: true },
      { key: 'service', title: 'proto' },
      { key: 'pids', title: '(pids)' },
      { key: 'ips', title: '(ips)' },
    ]);
    for (const group of groupSessions(sessions)) {
      const [first] = group;
      if (first === undefined) continue;
      const pids = [...new Set(group.map(({ pid }) => pid))];
      const ips = [...new Set(group.map(({ remoteIp }) => remoteIp))];
      await printer.row([
        first.user,
        group.length,
        first.service,
        { shown: `(${pids.join(' ')})`, json: pids },
        { shown: `(${ips.join(' ')})`, json: ips },
      ]);
    }
    await printer.end();
  },
};
