import type { CommandCall, CommandSpec } from '../command.js';

export const pw: CommandSpec = {
  name: 'pw',
  summary: 'Make a password hash, or check one',
  options: [
    { flags: '-l, --list', doc: 'list the schemes' },
    { flags: '-p, --password <password>', doc: 'others may see it in the list of processes; better leave it out and type it' },
    { flags: '-r, --rounds <n>', doc: 'cost, in the unit of the scheme' },
    { flags: '-s, --scheme <scheme>', doc: 'CRYPT unless told; SSHA256.hex for another encoding' },
    { flags: '-t, --test-hash <hash>', doc: 'check the password against this hash' },
    { flags: '-u, --user <user>', doc: 'for schemes that hash the user name too (DIGEST-MD5)' },
    { flags: '-V, --verify', doc: 'check the new hash against the password' },
  ],
  format: 'flow',
  async run(call) {
    const { flag, print, isJson, say, text } = call;
    const { listSchemes } = await import('#auth/password-scheme.js');
    if (flag('list')) {
      const printer = print([{ key: 'scheme', hidesTitle: true }]);
      if (isJson) {
        for (const scheme of listSchemes()) await printer.row([scheme]);
        await printer.end();
      }
      await say(`${listSchemes().join(' ')}\n`);
      return;
    }
    const hash = text('test-hash');
    const stored = hash === undefined ? await makeHash(call) : await testHash(call, hash);
    const isVerified = hash !== undefined || flag('verify');
    if (isJson) {
      const printer = print([{ key: 'hash' }, { key: 'verified' }]);
      await printer.row([stored, { shown: '', json: isVerified }]);
      await printer.end();
    }
    await say(`${stored}${isVerified ? ' (verified)' : ''}\n`);
  },
};

async function passwordOf({ context, text }: CommandCall, isNew: boolean): Promise<string> {
  const given = text('password');
  if (given !== undefined) return given;
  const { askNewPassword, askPassword } = await import('../prompt.js');
  return isNew ? askNewPassword(context.signal) : askPassword('Enter password to verify: ', context.signal);
}

async function makeHash(call: CommandCall): Promise<string> {
  const { flag, text } = call;
  const [{ hashPassword, isKnownScheme, parseStoredPassword }, { AdminError }, { PasswordSchemeError }] = await Promise.all([
    import('#auth/password-scheme.js'),
    import('../exit-codes.js'),
    import('#auth/schemes/scheme.js'),
  ]);
  const scheme = (text('scheme') ?? 'CRYPT').toUpperCase();
  // Before the administrator types anything.
  if (!isKnownScheme(scheme.split('.')[0] ?? '')) throw new AdminError('usage', `Unknown scheme: ${scheme}`);
  const rounds = text('rounds');
  if (rounds !== undefined && !/^\d{1,10}$/.test(rounds)) throw new AdminError('usage', `Invalid number of rounds: ${rounds}`);
  const user = text('user') ?? '';
  if (scheme.startsWith('DIGEST-MD5') && user === '') throw new AdminError('usage', `${scheme}: username must be given (-u)`);
  const password = await passwordOf(call, true);
  try {
    const stored = await hashPassword(scheme, password, rounds === undefined ? undefined : Number(rounds), user);
    if (flag('verify')) await check(stored, parseStoredPassword(stored, 'CRYPT'), password, user);
    return stored;
  } catch (cause) {
    if (!(cause instanceof PasswordSchemeError)) throw cause;
    throw new AdminError('usage', cause.message, { cause });
  }
}

async function testHash(call: CommandCall, hash: string): Promise<string> {
  const { text } = call;
  const [{ parseStoredPassword }, { PasswordSchemeError }, { AdminError }] = await Promise.all([
    import('#auth/password-scheme.js'),
    import('#auth/schemes/scheme.js'),
    import('../exit-codes.js'),
  ]);
  try {
    const parsed = parseStoredPassword(hash, (text('scheme') ?? 'CRYPT').toUpperCase());
    await check(hash, parsed, await passwordOf(call, false), text('user') ?? '');
    return hash;
  } catch (cause) {
    if (!(cause instanceof PasswordSchemeError)) throw cause;
    throw new AdminError('data', `reverse decode check failed: ${cause.message}`, { cause });
  }
}

async function check(
  _stored: string,
  parsed: import('#auth/password-scheme.js').StoredPassword,
  password: string,
  user: string,
): Promise<void> {
  const [{ verifyPassword }, { AdminError }] = await Promise.all([import('#auth/password-scheme.js'), import('../exit-codes.js')]);
  if (!(await verifyPassword(parsed, password, user))) {
    throw new AdminError('data', 'reverse password verification check failed: Password mismatch');
  }
}
