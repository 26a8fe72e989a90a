import type { CommandSpec } from '../command.js';

export const reload: CommandSpec = {
  name: 'reload',
  summary: 'Read the configuration again; sessions go on',
  format: 'flow',
  async run({ context }) {
    await context.askMaster({ command: 'reload' });
  },
};
