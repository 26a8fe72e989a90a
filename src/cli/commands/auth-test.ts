import type { CommandCall, CommandSpec } from '../command.js';

export const authOptions = [
  { flags: '-a, --auth-socket <path>', doc: 'another socket of auth' },
  { flags: '-x, --auth-info <key=value>', doc: 'facts of the login: service, rip, lip, rport, lport, session', repeats: true },
];

export const authTest: CommandSpec = {
  name: 'auth test',
  summary: 'Check a user name and password against the passdbs',
  arguments: [
    { syntax: '<user>', doc: 'user name' },
    { syntax: '[password]', doc: 'asked for when left out' },
  ],
  options: [...authOptions, { flags: '-M, --master-user <user>', doc: 'log in as this master user; the password is theirs' }],
  format: 'flow',
  run: (call) => testLogin(call, false),
};

/** @param claims also asks for the userdb fields, as a mail process does after login */
export async function testLogin(call: CommandCall, claims: boolean): Promise<void> {
  const { args, context, isJson, print, say, text, texts } = call;
  const [{ authenticate }, { askPassword }, { AdminError }] = await Promise.all([
    import('../authenticate.js'),
    import('../prompt.js'),
    import('../exit-codes.js'),
  ]);
  const [user = '', given] = args;
  const password = given ?? (await askPassword('Password: ', context.signal));
  const result = await authenticate(context, {
    user,
    password,
    masterUser: text('master-user'),
    socketPath: text('auth-socket'),
    info: texts('auth-info'),
    claims,
  });
  if (isJson) {
    const printer = print([{ key: 'passdb' }, { key: 'success' }, { key: 'fields' }, ...(claims ? [{ key: 'userdb' }] : [])]);
    await printer.row([
      user,
      { shown: '', json: result.isSuccess },
      { shown: '', json: Object.fromEntries(result.fields) },
      { shown: '', json: result.userdb === undefined ? null : Object.fromEntries(result.userdb) },
    ]);
    await printer.end();
  }
  const lines = (fields: Iterable<readonly [string, string]>): string =>
    [...fields].map(([key, value]) => `  ${value === '' ? key : `${key}=${value}`}\n`).join('');
  await say(`passdb: ${user} auth ${result.isSuccess ? 'succeeded' : 'failed'}\nextra fields:\n${lines(result.fields)}`);
  if (result.userdb !== undefined) {
    const { user: name = '', ...fields } = Object.fromEntries(result.userdb);
    await say(`userdb extra fields:\n  ${name}\n${lines(Object.entries(fields))}`);
  }
  if (!result.isSuccess) throw new AdminError(result.isTemporary ? 'temporary' : 'permission', '');
}
