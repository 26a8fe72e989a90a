import type { CommandSpec } from '../command.js';

export const config: CommandSpec = {
  name: 'config',
  summary: 'Print settings, as roost -n and roost -a do',
  arguments: [{ syntax: '[setting...]', doc: 'only these settings or blocks: base_dir, service/imap' }],
  options: [
    { flags: '-a, --all', doc: 'every setting (the default)' },
    { flags: '-n, --changed', doc: 'what differs from the defaults' },
    { flags: '-N, --written', doc: 'what differs or is written' },
    { flags: '-d, --defaults', doc: 'the defaults' },
    { flags: '-P, --secrets', doc: 'with passwords and keys' },
    { flags: '-x, --expand', doc: 'the contents of <files' },
    { flags: '-h, --values', doc: 'values without names' },
  ],
  format: 'flow',
  async run({ args, context, flag, isJson, print }) {
    const mode = flag('changed') ? 'changed' : flag('written') ? 'written' : flag('defaults') ? 'defaults' : 'all';
    if (isJson) {
      const { settingRows } = await import('../settings-json.js');
      const printer = print([{ key: 'setting' }, { key: 'value' }]);
      for (const row of await settingRows(context, { mode, showsSecrets: flag('secrets') }, args)) await printer.row(row);
      await printer.end();
      return;
    }
    const { printConfig } = await import('../server/print-config.js');
    const code = printConfig(
      {
        kind: 'print',
        mode,
        showsSecrets: flag('secrets'),
        showsNames: !flag('values'),
        expandsFiles: flag('expand'),
        names: args,
        configFile: await context.configFile(),
      },
      { out: (text) => void context.output.write(text), error: (text) => context.output.error(text) },
    );
    if (code !== 0) context.fail('config', '');
  },
};
