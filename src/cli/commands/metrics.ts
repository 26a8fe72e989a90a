import type { CommandSpec } from '../command.js';

export const metrics: CommandSpec = {
  name: 'metrics',
  summary: 'Print the figures of all services, in the text format of Prometheus',
  format: 'flow',
  async run({ context, isJson, print }) {
    const { metrics: text = '' } = await context.askMaster({ command: 'metrics' });
    if (!isJson) {
      await context.output.write(text);
      return;
    }
    const printer = print([{ key: 'metric' }, { key: 'labels' }, { key: 'value' }]);
    for (const line of text.split('\n')) {
      const [, metric = '', labels = '', value = ''] = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
      if (metric !== '') await printer.row([metric, labels, Number(value)]);
    }
    await printer.end();
  },
};
