import type { CommandSpec } from '../command.js';

export const tune: CommandSpec = {
  name: 'tune',
  summary: 'Compare this machine with what tuning guides say, and say what matters; changes nothing',
  options: [{ flags: '-p, --problems', doc: 'only what should be changed' }],
  format: 'pager',
  async run({ context, flag, print }) {
    const [{ checkMachine }, { needsOf, readMachine }, { AdminError }] = await Promise.all([
      import('../tune/checks.js'),
      import('../tune/facts.js'),
      import('../exit-codes.js'),
    ]);
    let needs: ReturnType<typeof needsOf> | undefined;
    try {
      needs = needsOf(await context.config());
    } catch (error) {
      // The machine can be looked at before there is a configuration.
      if (!(error instanceof AdminError)) throw error;
      context.output.error('roostadm: Warning: without a configuration only its defaults are compared\n');
    }
    const printer = print(['setting', 'value', 'guides', 'verdict', 'why'].map((key) => ({ key })));
    for (const { setting, value, guides, verdict, why } of checkMachine(readMachine(), needs)) {
      if (flag('problems') && verdict !== 'raise' && verdict !== 'change') continue;
      await printer.row([setting, value, guides === '' ? { shown: '-', json: null } : guides, verdict, why]);
    }
    await printer.end();
  },
};
