import type { CommandSpec } from '../command.js';

export const quotaRecalc: CommandSpec = {
  name: 'quota recalc',
  summary: 'Count again what is used of the quota',
  isMail: true,
  format: 'flow',
  async run(call) {
    const { forEachUser } = await import('../mail/each-user.js');
    await forEachUser(call, async ({ mail, signal, failed }) => {
      try {
        await mail.recountQuota?.(signal);
      } catch (error) {
        failed('Recalculating quota failed', error);
      }
    });
  },
};
