import type { CommandSpec } from '../command.js';
import type { Cell } from '../print/format.js';

export const quotaGet: CommandSpec = {
  name: 'quota get',
  summary: 'Show the quota and what is used of it',
  isMail: true,
  format: 'table',
  async run(call) {
    const { forEachUser, printForUsers } = await import('../mail/each-user.js');
    const printer = printForUsers(call, [
      { key: 'root', title: 'Quota name' },
      { key: 'type', title: 'Type' },
      { key: 'value', title: 'Value', alignsRight: true },
      { key: 'limit', title: 'Limit', alignsRight: true },
      { key: 'percent', title: '%', alignsRight: true },
    ]);
    await forEachUser(call, async (account) => {
      const { mail, signal } = account;
      const row = (root: string, type: string, value: number, limit: number | undefined): Promise<void> =>
        printer.row(account, [root, type, value, limit ?? unlimited, limit ? Math.floor((value * 100) / limit) : 0]);
      for (const { name: root, usage, limits } of await mail.quotaRoots('INBOX', signal)) {
        const limit = limits.storageBytes === undefined ? undefined : Math.floor(limits.storageBytes / 1024);
        await row(root, 'STORAGE', Math.ceil(usage.storageBytes / 1024), limit);
        await row(root, 'MESSAGE', usage.messages, limits.messages);
      }
    });
    await printer.end();
  },
};

const unlimited: Cell = { shown: '-', json: null };
