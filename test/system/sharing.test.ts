// Users who share mailboxes through a real server: sessions of owner and reader are in processes of their own, which know each other's mail only by
// userdb and files.
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { LineClient } from '../support/line-client.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';

const listener = `namespace shared {
  type = shared
  prefix = shared/%%u/
  separator = /
  location = maildir:%%h/Maildir:INDEX=~/shared/%%u
  subscriptions = no
  list = children
}
`;

describe('Mailboxes shared between users of one server', () => {
  const folder = mkdtempSync(join(tmpdir(), 'roost-sharing-'));
  chmodSync(folder, 0o777);
  let server: RunningRoost;
  before(async () => {
    server = await startRoost({
      users: { anna: 'secret', otto: 'secret', eve: 'secret' },
      protocols: ['imap'],
      settings: { mail_plugins: 'acl imap_acl', imap_urlauth_host: 'imap.example.test' },
      // A process for each session: nothing is shared in memory.
      pools: { imap: { service_count: 1 } },
      extra: `${listener}plugin {\n  acl_shared_dict = file:${folder}/shared-mailboxes\n}\nnamespace inbox {\n  separator = /\n}\n`,
    });
  });
  after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  const login = async (user: string): Promise<LineClient> => {
    const client = new LineClient(connect(server.ports.imap, '127.0.0.1'), 20_000);
    await client.line();
    await client.ok(`LOGIN ${user} secret`);
    return client;
  };
  const last = async (client: LineClient, command: string): Promise<string> => (await client.run(command)).at(-1) ?? '';

  it('are listed, read and changed across processes by those who were given the right', async () => {
    const [anna, otto, eve] = await Promise.all([login('anna'), login('otto'), login('eve')]);
    await otto.ok('CREATE Work');
    await otto.ok('APPEND Work {15+}\r\nSubject: x\r\n\r\nx');
    assert.match(await last(anna, 'SELECT shared/otto/Work'), /^NO \[NONEXISTENT\]/);
    await otto.ok('SETACL Work anna lrs');
    assert.equal(readFileSync(join(folder, 'shared-mailboxes'), 'utf8'), 'shared/shared-boxes/user/anna/otto\n1\n');
    assert.deepEqual(
      (await anna.ok('LIST "" "shared*"')).filter((line) => line.startsWith('* ')),
      [
        '* LIST (\\Noselect \\HasChildren) "/" shared',
        '* LIST (\\Noselect \\HasChildren) "/" shared/otto',
        '* LIST (\\HasNoChildren) "/" shared/otto/Work',
      ],
    );
    assert.deepEqual(await eve.ok('LIST "" "shared*"'), []);
    await anna.ok('SELECT shared/otto/Work');
    await otto.ok('SELECT Work');
    await anna.ok('STORE 1 +FLAGS (\\Seen)');
    assert.ok((await otto.ok('NOOP')).some((line) => /^\* 1 FETCH \(.*\\Seen/.test(line)));
    assert.match(await last(anna, 'STORE 1 +FLAGS (\\Flagged)'), /^NO \[NOPERM\]/);
    assert.match(await last(eve, 'SELECT shared/otto/Work'), /^NO \[NONEXISTENT\]/);
    await otto.ok('DELETEACL Work anna');
    assert.match(await last(anna, 'STORE 1 -FLAGS (\\Seen)'), /^NO/);
    assert.deepEqual(await anna.ok('LIST "" "shared*"'), []);
    for (const client of [anna, otto, eve]) client.close();
  });

  it('cannot be told from those of users who are not there', async () => {
    const [anna, otto] = await Promise.all([login('anna'), login('otto')]);
    await otto.run('CREATE Secret');
    const replies = new Set<string>();
    for (const name of ['otto/Secret', 'otto/Nothing', 'nobody/Secret', 'eve/INBOX', '../otto/Secret', 'otto/../Secret']) {
      for (const command of ['SELECT', 'STATUS', 'GETACL', 'MYRIGHTS', 'DELETE', 'SUBSCRIBE']) {
        const reply = await last(anna, `${command} "shared/${name}"${command === 'STATUS' ? ' (MESSAGES)' : ''}`);
        replies.add(reply.replace(`shared/${name}`, 'NAME').replace(/ \(\d.*$/, ''));
      }
    }
    assert.deepEqual([...replies], ["NO [NONEXISTENT] Mailbox doesn't exist: NAME"]);
    for (const client of [anna, otto]) client.close();
  });

  it('give their messages to whom a URL is for, also where nothing is shared', async () => {
    const [anna, otto, eve] = await Promise.all([login('anna'), login('otto'), login('eve')]);
    await otto.ok('APPEND INBOX {15+}\r\nSubject: x\r\n\r\nx');
    const made = (await otto.ok('GENURLAUTH "imap://otto@imap.example.test/INBOX/;UID=1;URLAUTH=user+anna" INTERNAL'))[0] ?? '';
    const url = made.replace('* GENURLAUTH ', '');
    assert.ok((await anna.ok(`URLFETCH ${url}`)).join('\n').includes('Subject: x'));
    assert.ok((await eve.ok(`URLFETCH ${url}`))[0]?.endsWith(' NIL'));
    for (const client of [anna, otto, eve]) client.close();
  });

  it('are administered by roostadm', async () => {
    await server.admin(['mailbox', 'create', '-u', 'otto', 'Plans']);
    const set = await server.admin(['acl', 'set', '-u', 'otto', 'Plans', 'user=eve', 'lookup', 'read', 'insert']);
    assert.equal(set.code, 0, set.stderr);
    await server.admin(['acl', 'remove', '-u', 'otto', 'Plans', 'user=eve', 'insert']);
    const list = await server.admin(['acl', 'get', '-u', 'otto', 'Plans']);
    assert.match(list.stdout, /user=eve\s+lookup read\n/);
    const rights = await server.admin(['acl', 'rights', '-u', 'eve', 'shared/otto/Plans']);
    assert.match(rights.stdout, /lookup read\n/, rights.stderr);
    const listed = await server.admin(['mailbox', 'list', '-u', 'eve', 'shared/*']);
    assert.match(listed.stdout, /^shared\/otto\/Plans$/m);
    const denied = await server.admin(['mailbox', 'status', '-u', 'anna', 'messages', 'shared/otto/Plans']);
    assert.notEqual(denied.code, 0);
    rmSync(join(folder, 'shared-mailboxes'));
    await server.admin(['acl', 'recalc', '-u', 'otto']);
    assert.match(readFileSync(join(folder, 'shared-mailboxes'), 'utf8'), /user\/eve\/otto\n1\n/);
    await server.admin(['acl', 'delete', '-u', 'otto', 'Plans', 'user=eve']);
    assert.equal(readFileSync(join(folder, 'shared-mailboxes'), 'utf8'), '');
    assert.equal((await server.admin(['acl', 'set', '-u', 'otto', 'Plans', 'who', 'lookup'])).code, 64);
  });
});
