// `acl get|rights|set|add|remove|delete|recalc`: access control lists of mailboxes, for the user of -u as the owner or as one who may administer.
import type { AclEntry } from '#storage/acl.js';
import type { CommandCall, CommandSpec } from '../command.js';
import { AdminError } from '../exit-codes.js';

const mailbox = { syntax: '<mailbox>', doc: 'name' };
const identifier = {
  syntax: '<id>',
  doc: 'user=NAME, owner, group=NAME, group-override=NAME, authenticated or anyone; with - in front: rights taken away',
};
const rights = {
  syntax: '<right...>',
  doc: 'lookup read write write-seen write-deleted insert post expunge create delete admin, or letters (lrs)',
};

export const aclGet: CommandSpec = {
  name: 'acl get',
  summary: 'Show the access control list of a mailbox',
  arguments: [mailbox],
  isMail: true,
  format: 'table',
  async run(call) {
    const { forEachUser, printForUsers } = await import('../mail/each-user.js');
    const { wordsOfRights } = await import('#storage/acl.js');
    const [name = ''] = call.args;
    const printer = printForUsers(call, [
      { key: 'id', title: 'ID' },
      { key: 'rights', title: 'Rights' },
    ]);
    await forEachUser(call, async (account) => {
      try {
        for (const entry of await account.mail.readAcl(name, account.signal))
          await printer.row(account, [entry.identifier, wordsOfRights(entry.rights)]);
      } catch (error) {
        account.failed(`Can't read the access control list of ${name}`, error);
      }
    });
    await printer.end();
  },
};

export const aclRights: CommandSpec = {
  name: 'acl rights',
  summary: 'Show what the user may do with a mailbox',
  arguments: [mailbox],
  isMail: true,
  format: 'flow',
  async run(call) {
    const { forEachUser, printForUsers } = await import('../mail/each-user.js');
    const { wordsOfRights } = await import('#storage/acl.js');
    const [name = ''] = call.args;
    const printer = printForUsers(call, [{ key: 'rights', title: 'Rights' }]);
    await forEachUser(call, async (account) => {
      try {
        await printer.row(account, [wordsOfRights(await account.mail.rightsOn(name, account.signal))]);
      } catch (error) {
        account.failed(`Can't tell the rights on ${name}`, error);
      }
    });
    await printer.end();
  },
};

type Change = (before: string, given: string) => string | undefined;

function changing(name: string, summary: string, change: Change): CommandSpec {
  return {
    name,
    summary,
    arguments: name === 'acl delete' ? [mailbox, identifier] : [mailbox, identifier, rights],
    isMail: true,
    format: 'flow',
    run: (call) => changeLists(call, change),
  };
}

async function changeLists(call: CommandCall, change: Change): Promise<void> {
  const { forEachUser } = await import('../mail/each-user.js');
  const { isAclIdentifier, rightsOfWords } = await import('#storage/acl.js');
  const [name = '', id = '', ...words] = call.args;
  if (!isAclIdentifier(id))
    throw new AdminError('usage', `Unknown identifier ${id}: user=NAME, owner, group=NAME, authenticated or anyone`);
  const given = rightsOfWords(words);
  if (given === undefined) throw new AdminError('usage', `Unknown right among: ${words.join(' ')}`);
  await forEachUser(call, async ({ mail, signal, failed }) => {
    try {
      const before = findRights(await mail.readAcl(name, signal), id);
      await mail.setAcl(name, id, change(before, given), signal);
    } catch (error) {
      failed(`Can't change the access control list of ${name}`, error);
    }
  });
}

function findRights(entries: readonly AclEntry[], id: string): string {
  return entries.find((entry) => entry.identifier === id)?.rights ?? '';
}

export const aclSet = changing('acl set', 'Give a user, group or everybody these rights and no others', (_before, given) => given);
export const aclAdd = changing('acl add', 'Give further rights', (before, given) => before + given);
export const aclRemove = changing('acl remove', 'Take rights away', (before, given) =>
  [...before].filter((right) => !given.includes(right)).join(''),
);
export const aclDelete = changing('acl delete', 'Remove an entry of the access control list', () => undefined);

export const aclRecalc: CommandSpec = {
  name: 'acl recalc',
  summary: 'Write what the user shares into acl_shared_dict again',
  isMail: true,
  format: 'flow',
  async run(call) {
    const { forEachUser } = await import('../mail/each-user.js');
    await forEachUser(call, async ({ mail, signal }) => mail.publishSharing(signal));
  },
};
