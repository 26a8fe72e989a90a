import type { CommandSpec } from '../command.js';
import { unixTimeCell } from '../time-text.js';

export const serviceStatus: CommandSpec = {
  name: 'service status',
  summary: 'Show the pools: processes, clients, limits',
  arguments: [{ syntax: '[service...]', doc: 'only these' }],
  format: 'pager',
  async run({ args, context, print }) {
    const { services = [] } = await context.askMaster({ command: 'service-status' });
    for (const name of args) {
      if (!services.some((service) => service.name === name)) context.fail('not-found', `Unknown service: ${name}`);
    }
    const printer = print(
      [
        'name',
        'process_count',
        'process_avail',
        'process_limit',
        'client_limit',
        'service_count',
        'process_min_avail',
        'clients',
        'waiting',
        'throttled',
        'last_drop_warning',
        'process_total',
        'exit_failures',
        'pushed_out',
        'refused',
        'limit_reached',
      ].map((key) => ({ key })),
    );
    for (const service of services) {
      if (args.length > 0 && !args.includes(service.name)) continue;
      await printer.row([
        service.name,
        service.processCount,
        service.processAvailable,
        service.processLimit,
        service.clientLimit,
        service.serviceCount,
        service.processMinAvail,
        service.clients,
        service.waiting,
        { shown: service.isThrottled ? 'y' : 'n', json: service.isThrottled },
        unixTimeCell(service.lastDropAt),
        service.started,
        service.failed,
        service.pushedOut,
        service.refused,
        service.limitReached,
      ]);
    }
    await printer.end();
  },
};
