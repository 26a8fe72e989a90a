// Mailboxes shared between users (namespace type = shared, acl_shared_dict): one configuration and one set of Maildirs, and Debian's Dovecot and Roost
// in turns. Each must find what the other has written into access control lists and dict, and give the same answers.
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ImapClient } from './support/imap.js';
import { type ServerName, startServer } from './support/servers.js';
import { makeWorld, type World } from './support/world.js';

const settings = { mail_plugins: 'acl' };

function sharing(plugin = ''): string {
  return `namespace others {
  type = shared
  prefix = shared/%%u/
  separator = /
  location = maildir:%%h/Maildir:INDEX=%h/shared/%%u
  subscriptions = no
  list = children
}
protocol imap {
  mail_plugins = acl imap_acl
}
plugin {
  acl = vfile
  acl_shared_dict = file:DICT
  ${plugin}
}
`;
}

async function makeSharingWorld(plugin = ''): Promise<World & { readonly dict: string }> {
  const world = await makeWorld({ settings, extra: sharing(plugin) });
  const dict = join(world.makeFolder('dict'), 'shared-mailboxes');
  writeFileSync(world.configFile, readFileSync(world.configFile, 'utf8').replace('DICT', dict));
  return Object.assign(world, { dict });
}

/** Runs commands as users. @returns untagged and tagged replies, without what is measured or counted */
async function converse(world: World, lines: readonly (readonly [user: string, command: string])[]): Promise<readonly string[]> {
  const clients = new Map<string, ImapClient>();
  const said: string[] = [];
  for (const [user, command] of lines) {
    const client = clients.get(user) ?? (await ImapClient.login(world.ports.imap, user));
    clients.set(user, client);
    const replies = await client.run(command);
    said.push(`${user}> ${command}`, ...replies.map(normalize).sort());
  }
  for (const client of clients.values()) await client.logout();
  return said;
}

function normalize(line: string): string {
  const listed = /^\* (LIST|LSUB) \(([^)]*)\) (.*)$/.exec(line);
  // \Marked is a hint (RFC 9051 7.3.1), which Dovecot takes from the times of the folders: by then they are told apart or not.
  const attributes = (listed?.[2] ?? '').split(' ').filter((attribute) => !/^\\(un)?marked$/i.test(attribute));
  if (listed !== null) return `* ${listed[1]} (${attributes.sort().join(' ')}) ${listed[3]}`;
  const rights = /^\* (MYRIGHTS|ACL) (.*)$/.exec(line);
  if (rights !== null) return `* ${rights[1]} ${sortRights(rights[2] ?? '')}`;
  if (line.startsWith('* ')) return line;
  return line
    .replace(/ \(\d.*\)\.?$/, '')
    .replace(/^(OK|NO|BAD)(?: \[(READ-\w+)[^\]]*\])?.*$/, '$1 $2')
    .trim();
}

/** Names in the order of the alphabet, letters of rights too. */
function sortRights(text: string): string {
  const [mailbox, ...words] = text.split(' ');
  if (words.length === 1) return `${mailbox} ${[...(words[0] ?? '')].sort().join('')}`;
  const pairs: string[] = [];
  for (let at = 0; at + 1 < words.length; at += 2) pairs.push(`${words[at]} ${[...(words[at + 1] ?? '')].sort().join('')}`);
  return `${mailbox} ${pairs.sort().join(' ')}`;
}

const others: Readonly<Record<ServerName, ServerName>> = { dovecot: 'roost', roost: 'dovecot' };

const questions: readonly (readonly [string, string])[] = [
  ['berta', 'NAMESPACE'],
  ['berta', 'LIST "" "shared*"'],
  ['berta', 'LIST "" "shared/%"'],
  ['berta', 'LIST "" "shared/anna/%"'],
  ['berta', 'MYRIGHTS shared/anna/Work'],
  ['berta', 'MYRIGHTS shared/anna'],
  ['berta', 'MYRIGHTS shared/anna/Private'],
  ['berta', 'MYRIGHTS shared/anna/None'],
  ['berta', 'STATUS shared/anna/Work (MESSAGES UIDNEXT)'],
  ['berta', 'STATUS shared/anna/Private (MESSAGES)'],
  ['berta', 'GETACL shared/anna/Work'],
  ['berta', 'CREATE shared/anna/New'],
  ['berta', 'DELETE shared/anna/Work'],
  ['berta', 'LIST "" "shared/carla/*"'],
  ['berta', 'MYRIGHTS shared/berta/INBOX'],
  ['carla', 'LIST "" "shared*"'],
  ['carla', 'MYRIGHTS shared/anna/Work'],
  ['carla', 'STATUS shared/anna/Work (MESSAGES)'],
  ['anna', 'GETACL Work'],
  ['anna', 'GETACL INBOX'],
  ['anna', 'LIST "" "shared*"'],
];

describe('Mailboxes shared between users, by Dovecot and Roost in turns', () => {
  for (const writer of ['dovecot', 'roost'] as const) {
    it(`${others[writer]} lets others see what was shared through ${writer}, and both answer the same`, async () => {
      const world = await makeSharingWorld();
      try {
        let written: readonly string[];
        {
          await using server = await startServer(writer, world);
          await converse(world, [
            ['anna', 'CREATE Work'],
            ['anna', 'CREATE Private'],
            ['anna', 'CREATE Work/Plans'],
            ['anna', 'SETACL Work berta lrs'],
            ['anna', 'SETACL INBOX berta lr'],
            ['anna', 'SETACL Work/Plans berta lrwstipekxa'],
            ['anna', 'SETACL Private $staff lr'],
          ]);
          const client = await ImapClient.login(world.ports.imap, 'anna');
          await client.append('Work', '', 'Subject: one\r\n\r\none\r\n');
          await client.logout();
          written = await converse(world, questions);
          assert.equal(await server.stop(), 0);
        }
        assert.ok(written.includes('* LIST (\\HasNoChildren) "/" shared/anna/Work/Plans'), written.join('\n'));
        const dict = readFileSync(world.dict, 'utf8');
        assert.deepEqual(
          dict
            .split('\n')
            .filter((_, index) => index % 2 === 0 && index < dict.split('\n').length - 1)
            .sort(),
          ['shared/shared-boxes/group/staff/anna', 'shared/shared-boxes/user/berta/anna'],
        );
        await using server = await startServer(others[writer], world);
        const read = await converse(world, questions);
        assert.deepEqual(read, written);
        // And back: what the second server changes holds in the file that both read.
        await converse(world, [
          ['berta', 'SETACL shared/anna/Work/Plans carla lr'],
          ['anna', 'DELETEACL INBOX berta'],
          ['anna', 'SETACL Work berta l'],
        ]);
        const changed = await converse(world, questions);
        assert.equal(await server.stop(), 0);
        await using again = await startServer(writer, world);
        assert.deepEqual(await converse(world, questions), changed);
        assert.equal(await again.stop(), 0);
        assert.match(readFileSync(world.dict, 'utf8'), /user\/carla\/anna\n1\n/);
      } finally {
        world.remove();
      }
    });
  }

  it('give the same rights by a global access control list', async () => {
    const world = await makeSharingWorld();
    const list = join(world.makeFolder('global'), 'dovecot-acl');
    writeFileSync(world.configFile, readFileSync(world.configFile, 'utf8').replace('acl = vfile\n', `acl = vfile:${list}\n`));
    writeFileSync(
      list,
      [
        'Lim* owner lrs',
        'shared/anna/Open user=berta lr',
        'shared/*/Closed -user=berta w',
        '"Two words" -owner t',
        'shared/anna/Given anyone l',
        '',
      ].join('\n'),
    );
    chmodSync(list, 0o644);
    const names = ['Limited', 'Open', 'Closed', 'Two', 'Given', 'Other'];
    const ask = async (name: ServerName): Promise<readonly string[]> => {
      await using server = await startServer(name, world);
      const said = await converse(
        world,
        [...names, '"Two words"'].flatMap((mailbox) => [
          ['berta', `MYRIGHTS ${mailbox.startsWith('"') ? '"shared/anna/Two words"' : `shared/anna/${mailbox}`}`] as const,
          ['anna', `MYRIGHTS ${mailbox}`] as const,
        ]),
      );
      assert.equal(await server.stop(), 0);
      return said;
    };
    try {
      {
        await using server = await startServer('dovecot', world);
        await converse(
          world,
          [...names, '"Two words"'].map((name) => ['anna', `CREATE ${name}`] as const),
        );
        await converse(world, [
          ['anna', 'SETACL Closed berta lrws'],
          ['anna', 'SETACL Given berta lrs'],
        ]);
        assert.equal(await server.stop(), 0);
      }
      const said = await ask('roost');
      for (const line of ['shared/anna/Open lr', 'shared/anna/Closed lrs', 'Limited lrs'])
        assert.ok(said.includes(`* MYRIGHTS ${line}`), said.join('\n'));
      assert.deepEqual(said, await ask('dovecot'));
    } finally {
      world.remove();
    }
  });

  it('give the same rights by the same access control lists', async () => {
    const world = await makeSharingWorld('acl_groups = staff,choir');
    const lists = [
      'anyone lr',
      'authenticated lrs\nanyone lr',
      'anyone lrwa\nuser=berta l',
      'anyone lrw\n-user=berta w',
      'user=berta lrw\n-anyone r',
      'group=staff lr',
      'group=staff lr\ngroup=choir lw',
      'group=other lr',
      'anyone lrwa\ngroup=staff l',
      'group=staff lr\nuser=berta lrs',
      'user=berta lrs\ngroup-override=choir l',
      'user=berta lrs\n-group=staff s',
      'owner lr',
      'owner lr\nuser=berta lrwstipekxa',
      'user=berta :lookup read write-seen',
      '"user=berta" lr',
      '"-user=berta" r\nanyone lr',
      'user=carla lrwstipekxa',
      'group=staff lrws\n-group=choir w',
      'group-override=staff lr\ngroup-override=choir lw',
      '',
    ];
    try {
      const names = lists.map((_, index) => `List${index}`);
      const ask = async (name: ServerName): Promise<readonly string[]> => {
        await using server = await startServer(name, world);
        const said = await converse(
          world,
          names.flatMap((mailbox) => [['berta', `MYRIGHTS shared/anna/${mailbox}`] as const, ['anna', `MYRIGHTS ${mailbox}`] as const]),
        );
        assert.equal(await server.stop(), 0);
        return said;
      };
      {
        await using server = await startServer('roost', world);
        await converse(
          world,
          names.map((name) => ['anna', `CREATE ${name}`] as const),
        );
        assert.equal(await server.stop(), 0);
      }
      for (const [index, text] of lists.entries()) {
        const file = join(world.maildir('anna'), `.List${index}`, 'dovecot-acl');
        mkdirSync(join(file, '..'), { recursive: true });
        if (text === '') continue;
        writeFileSync(file, `${text}\n`);
        chmodSync(file, 0o600);
        if (process.getuid?.() === 0) chownSync(file, world.mailUid, world.mailGid);
      }
      // The owner stays able to undo what it has taken from itself (RFC 4314 3.3), which Dovecot does only through SETACL.
      const withAdmin = (said: readonly string[]): readonly string[] =>
        said.map((line) => line.replace(/^(\* MYRIGHTS List\d+ )(?!a)(?=\w)/, '$1a'));
      assert.deepEqual(await ask('roost'), withAdmin(await ask('dovecot')));
    } finally {
      world.remove();
    }
  });
});
