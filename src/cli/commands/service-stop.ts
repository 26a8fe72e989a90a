import type { CommandSpec } from '../command.js';

export const serviceStop: CommandSpec = {
  name: 'service stop',
  summary: 'End the processes of services; they start again when needed',
  arguments: [{ syntax: '<service...>', doc: 'names' }],
  format: 'flow',
  async run({ args, context }) {
    const { services = [] } = await context.askMaster({ command: 'service-status' });
    const known = args.filter((name) => services.some((service) => service.name === name));
    for (const name of args) if (!known.includes(name)) context.fail('not-found', `Unknown service: ${name}`);
    if (known.length > 0) await context.askMaster({ command: 'service-stop', services: known });
  },
};
