import type { CommandSpec } from '../command.js';

export const authLookup: CommandSpec = {
  name: 'auth lookup',
  summary: 'Show the passdb fields of users',
  arguments: [{ syntax: '<user...>', doc: 'user names' }],
  options: [
    { flags: '-f, --field <name>', doc: 'only this field' },
    { flags: '-s, --service <name>', doc: 'protocol to look up for' },
  ],
  format: 'flow',
  async run({ args, context, isJson, print, say, text }) {
    const auth = await context.authMaster();
    const field = text('field');
    const printer = print([{ key: 'passdb' }, { key: 'fields' }]);
    for (const [index, user] of args.entries()) {
      const found = await auth.lookupPassdb(user, text('service') ?? 'doveadm', context.signal);
      if (found.kind === 'unknown') {
        context.fail('no-user', `passdb lookup: user ${user} doesn't exist`);
        continue;
      }
      if (found.kind === 'temp_fail') {
        context.fail('temporary', `passdb lookup failed for ${user}: ${found.reason}`);
        continue;
      }
      const fields = Object.entries({ user: found.user.user, ...found.user.fields });
      if (isJson) await printer.row([user, { shown: '', json: Object.fromEntries(fields) }]);
      else if (field !== undefined) await say(`${fields.find(([key]) => key === field)?.[1] ?? ''}\n`);
      else {
        const lines = fields.map(([key, value]) => `  ${key.padEnd(10)}: ${value}\n`);
        await say(`${index > 0 ? '\n' : ''}passdb: ${user}\n${lines.join('')}`);
      }
    }
    if (isJson) await printer.end();
  },
};
