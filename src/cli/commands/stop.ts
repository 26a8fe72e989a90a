import type { CommandSpec } from '../command.js';

export const stop: CommandSpec = {
  name: 'stop',
  summary: 'Stop the server; returns when it is gone',
  format: 'flow',
  async run({ context }) {
    await context.askMaster({ command: 'stop' });
  },
};
