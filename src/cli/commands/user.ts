import type { UserFields } from '#auth/client.js';
import type { CommandCall, CommandSpec } from '../command.js';
import type { Cell } from '../print/format.js';

export const user: CommandSpec = {
  name: 'user',
  summary: 'Look users up in the userdbs',
  arguments: [{ syntax: '<mask...>', doc: 'user names; with * and ? the names that match are listed' }],
  options: [
    { flags: '-u, --userdb-only', doc: 'only what the userdb says, without settings' },
    { flags: '-f, --field <name>', doc: 'only this field' },
    { flags: '-e, --expand <text>', doc: 'this text with its variables replaced: %u, %h, %{domain}' },
    { flags: '-x, --auth-info <key=value>', doc: 'facts of the login: service', repeats: true },
  ],
  format: 'tab',
  async run(call) {
    const { args, context, isJson, print } = call;
    const auth = await context.authMaster();
    const service = call.texts('auth-info').find((fact) => fact.startsWith('service='));
    const printer = isJson ? print([{ key: 'username' }, { key: 'fields' }]) : undefined;
    for (const mask of args) {
      if (/[*?]/.test(mask)) {
        for (const name of await auth.list(mask, context.signal)) await (printer?.row([name, nothing]) ?? call.say(`${name}\n`));
        continue;
      }
      const found = await auth.lookup(mask, service?.slice('service='.length) ?? 'doveadm', context.signal);
      if (found.kind === 'unknown') context.fail('no-user', `userdb lookup: user ${mask} doesn't exist`);
      else if (found.kind === 'temp_fail') context.fail('temporary', `userdb lookup: ${mask}: ${found.reason}`);
      else if (printer === undefined) await showUser(call, mask, found.user);
      else await printer.row([mask, { shown: '', json: Object.fromEntries(await fieldsOf(call, mask, found.user)) }]);
    }
    await printer?.end();
  },
};

const nothing: Cell = { shown: '', json: null };

async function showUser(call: CommandCall, asked: string, found: UserFields): Promise<void> {
  const { context, print, say, text } = call;
  const expansion = text('expand');
  if (expansion !== undefined) {
    const { templatesOf } = await import('#storage/open-user.js');
    await say(`${templatesOf(found, 'doveadm', await mailSettingsOf(call)).expandWithHome(expansion)}\n`);
    return;
  }
  const fields = await fieldsOf(call, asked, found);
  const only = text('field');
  if (only !== undefined) {
    const value = fields.get(only);
    if (value === undefined) context.fail('no-user', `userdb lookup: user ${asked} has no field ${only}`);
    else await say(`${value}\n`);
    return;
  }
  const printer = print([{ key: 'field' }, { key: 'value' }]);
  for (const [field, value] of fields) await printer.row([field, value]);
  await printer.end();
}

async function mailSettingsOf({ context }: CommandCall) {
  const { mailSettings } = await import('#config/groups/mail.js');
  return context.settingsOf(mailSettings);
}

/** uid, gid, home and mail first, as they take effect; then whatever else the userdb says. */
async function fieldsOf(call: CommandCall, asked: string, found: UserFields): Promise<ReadonlyMap<string, string>> {
  const fields = new Map<string, string>();
  if (found.user !== asked) fields.set('user', found.user);
  if (!call.flag('userdb-only')) {
    const { templatesOf } = await import('#storage/open-user.js');
    const mail = await mailSettingsOf(call);
    const { home, location, expandWithHome } = templatesOf(found, 'doveadm', mail);
    const known = { uid: found.fields['uid'] ?? mail.mail_uid, gid: found.fields['gid'] ?? mail.mail_gid, home: home ?? '' };
    for (const [key, value] of Object.entries(known)) if (value !== '') fields.set(key, value);
    fields.set('mail', expandWithHome(location));
  }
  for (const [key, value] of Object.entries(found.fields)) if (!fields.has(key)) fields.set(key, value);
  return fields;
}
