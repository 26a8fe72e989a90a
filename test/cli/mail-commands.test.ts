import assert from 'node:assert/strict';
import { chownSync, closeSync, fstatSync, lstatSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { LineClient } from '../support/line-client.js';
import { type CommandResult, rootMailUid as mailUid, nobodyUid, type RunningRoost, startRoost } from '../support/running-roost.js';
import { adminOf } from './captured.js';

const isRoot = process.getuid?.() === 0;
const message = [
  'From: "A B" <a@example.org>',
  'To: c@example.org',
  'Subject: hi =?utf-8?q?=C3=A4?=',
  ' folded',
  'Received: one',
  'Received: two',
  'Date: Tue, 03 Nov 2020 10:00:00 +0130',
  'Content-Transfer-Encoding: quoted-printable',
  'Content-Type: text/plain; charset=utf-8',
  '',
  'line =C3=A4',
  'line two',
  '',
].join('\n');
const silent = { code: 0, stdout: '', stderr: '' };

describe('roostadm works on mail', () => {
  let roost: RunningRoost;
  let admin: (...argv: readonly string[]) => Promise<CommandResult>;

  before(async () => {
    const names = ['anna', 'bert', 'cleo', 'dora', 'eric', 'fay', 'gus', 'hope', 'ivy'];
    roost = await startRoost({
      users: Object.fromEntries(names.map((name) => [name, 'secret'])),
      protocols: ['imap'],
      settings: { mail_plugins: 'quota' },
      extra: 'plugin {\n  quota = maildir:User quota\n  quota_rule = *:storage=1M\n}\n',
    });
    admin = adminOf(roost);
  });
  after(async () => {
    await roost.stop();
  });

  const save = (user: string, mailbox = 'INBOX', ...more: readonly string[]): Promise<CommandResult> =>
    roost.admin(['save', '-u', user, '-m', mailbox, ...more], message);

  async function rowsOf(...argv: readonly string[]): Promise<Record<string, unknown>[]> {
    const { code, stdout, stderr } = await admin('--json', ...argv);
    assert.deepEqual([code, stderr], [0, '']);
    return JSON.parse(stdout);
  }
  const counts = async (user: string): Promise<Record<string, unknown>> =>
    Object.fromEntries((await rowsOf('mailbox', 'status', '-u', user, 'messages', '*')).map((row) => [row['mailbox'], row['messages']]));

  describe('mailbox', () => {
    it('create, rename, subscribe, list and delete go together', async () => {
      assert.deepEqual(await admin('mailbox', 'create', '-u', 'anna', '-s', 'work', 'work.old', 'Größe'), silent);
      assert.equal((await admin('mailbox', 'list', '-u', 'anna')).stdout, 'INBOX\nGröße\nwork\nwork.old\n');
      assert.equal((await admin('mailbox', 'list', '-u', 'anna', '-7', 'G*')).stdout, 'Gr&APYA3w-e\n');
      assert.equal((await admin('mailbox', 'list', '-u', 'anna', 'work%')).stdout, 'work\n');
      assert.deepEqual(await admin('mailbox', 'rename', '-u', 'anna', '-s', 'work', 'done'), silent);
      assert.deepEqual(await admin('mailbox', 'unsubscribe', '-u', 'anna', 'Größe'), silent);
      assert.match((await admin('mailbox', 'list', '-u', 'anna', '-s')).stdout, /^done$/m);
      assert.doesNotMatch((await admin('mailbox', 'list', '-u', 'anna', '-s')).stdout, /Größe/);
      assert.deepEqual(await admin('mailbox', 'delete', '-u', 'anna', '-r', 'done'), silent);
      assert.equal((await admin('mailbox', 'list', '-u', 'anna')).stdout, 'INBOX\nGröße\n');
    });

    const failures: readonly (readonly [readonly string[], number, string])[] = [
      [['create', 'INBOX'], 65, "Can't create mailbox INBOX: Mailbox already exists"],
      [['delete', 'zz'], 68, "Can't delete mailbox zz: Mailbox doesn't exist: zz"],
      [['delete', 'INBOX'], 65, "Can't delete mailbox INBOX: INBOX can't be deleted."],
      [['rename', 'x', 'y'], 68, "Can't rename mailbox x to y: Mailbox doesn't exist: x"],
      [['subscribe', 'zz'], 68, "Can't subscribe to mailbox zz: Mailbox doesn't exist: zz"],
      [['status', 'messages', 'zz'], 68, "Mailbox zz: Failed to lookup mailbox status: Mailbox doesn't exist: zz"],
    ];
    for (const [[verb = '', ...args], code, text] of failures) {
      it(`${verb} ${args.join(' ')} fails with ${code}`, async () => {
        const result = await admin('mailbox', verb, '-u', 'anna', ...args);
        assert.deepEqual(result, { code, stdout: '', stderr: `roostadm(anna): Error: ${text}\n` });
      });
    }

    it('delete -e leaves a mailbox with messages alone', async () => {
      await admin('mailbox', 'create', '-u', 'anna', 'full');
      await save('anna', 'full');
      assert.equal(
        (await admin('mailbox', 'delete', '-u', 'anna', '-e', 'full')).stderr,
        "roostadm(anna): Error: Can't delete mailbox full: Mailbox isn't empty\n",
      );
      assert.deepEqual(await admin('mailbox', 'delete', '-u', 'anna', 'full'), silent);
    });

    it('status shows counts, and their sum', async () => {
      await admin('mailbox', 'create', '-u', 'bert', 'box');
      await save('bert');
      await save('bert', 'box', '--flags', '\\Seen');
      const { stdout } = await admin('mailbox', 'status', '-u', 'bert', 'messages unseen uidnext', '*');
      assert.equal(stdout, 'INBOX messages=1 unseen=1 uidnext=2\nbox messages=1 unseen=0 uidnext=2\n');
      const size = message.replaceAll('\n', '\r\n').length;
      assert.equal(
        (await admin('mailbox', 'status', '-u', 'bert', '-t', 'messages unseen vsize', '*')).stdout,
        `messages=2 unseen=1 vsize=${2 * size}\n`,
      );
      const [row] = await rowsOf('mailbox', 'status', '-u', 'bert', 'all', 'INBOX');
      assert.deepEqual(Object.keys(row ?? {}).slice(0, 3), ['mailbox', 'messages', 'recent']);
      assert.ok(Math.abs(Date.parse(String(row?.['firstsaved'])) - Date.now()) < 60_000);
      assert.equal(
        (await admin('mailbox', 'status', '-u', 'bert', 'nofield', '*')).stderr,
        'roostadm: Fatal: Unknown status field: nofield\n',
      );
      assert.equal((await admin('mailbox', 'status', '-u', 'bert', '-t', 'uidnext', '*')).code, 64);
    });
  });

  describe('search and fetch', () => {
    before(async () => {
      await admin('mailbox', 'create', '-u', 'cleo', 'box');
      await save('cleo', 'INBOX', '-r', '2020-01-31');
      await save('cleo', 'box', '--flags', '\\Seen $Foo');
    });

    it('search prints mailbox and UID of what matches', async () => {
      const both = await rowsOf('search', '-u', 'cleo', 'all');
      assert.deepEqual(
        both.map(({ uid }) => uid),
        [1, 1],
      );
      const [inbox, box] = both.map((row) => String(row['mailbox-guid']));
      const find = async (...query: readonly string[]): Promise<string> => (await admin('search', '-u', 'cleo', ...query)).stdout;
      assert.equal(await find('mailbox', 'inbox', 'all'), `${inbox} 1\n`);
      assert.equal(await find('mailbox', 'b*', 'all'), `${box} 1\n`);
      assert.equal(await find('mailbox-guid', box ?? '', 'all'), `${box} 1\n`);
      assert.equal(await find('not', 'mailbox', 'b%'), `${inbox} 1\n`);
      assert.equal(await find('not', 'mailbox', 'nope'), `${inbox} 1\n${box} 1\n`);
      assert.equal(await find('(', 'mailbox', 'INBOX', 'seen', ')', 'or', '(', 'mailbox', 'box', 'keyword', '$foo', ')'), `${box} 1\n`);
      assert.equal(await find('since', '2d'), `${box} 1\n`);
      assert.equal(await find('before', '2020-02-01'), `${inbox} 1\n`);
      assert.equal(await find('savedsince', '1h', 'unseen'), `${inbox} 1\n`);
      assert.equal(await find('subject', 'ä folded', 'uid', '1:*'), `${inbox} 1\n${box} 1\n`);
      assert.equal(await find('*', 'body', 'line ä'), `${inbox} 1\n${box} 1\n`);
      assert.equal(await find('2:*', 'mailbox', 'b*'), `${box} 1\n`);
      assert.equal(await find('larger', '1k'), '');
    });

    it('search says which mailbox does not exist, and looks into the others', async () => {
      const { code, stdout, stderr } = await admin('search', '-u', 'cleo', 'mailbox', 'nope', 'or', 'mailbox', 'box');
      assert.deepEqual([code, stderr], [68, "roostadm(cleo): Error: Can't open mailbox 'nope': Mailbox doesn't exist: nope\n"]);
      assert.match(stdout, /^[0-9a-f]{32} 1\n$/);
    });

    it('fetch prints fields one below the other', async () => {
      const fields = 'uid flags hdr.subject hdr.subject.utf8 hdr.nope date.received date.sent size.virtual body.1 binary.1 body';
      const { code, stdout, stderr } = await admin('fetch', '-u', 'cleo', fields, 'mailbox', 'INBOX', 'all');
      assert.deepEqual([code, stderr], [0, '']);
      assert.equal(
        stdout,
        [
          'uid: 1',
          'flags: \\Recent',
          'hdr.subject: hi =?utf-8?q?=C3=A4?= folded',
          'hdr.subject.utf8: hi ä folded',
          'hdr.nope: ',
          'date.received: 2020-01-31 00:00:00',
          'date.sent: 2020-11-03 10:00:00 (+0130)',
          `size.virtual: ${message.replaceAll('\n', '\r\n').length}`,
          'body.1:',
          'line =C3=A4\r',
          'line two\r',
          'binary.1:',
          'line ä\r',
          'line two\r',
          'body:',
          'line =C3=A4',
          'line two',
          '',
        ].join('\n'),
      );
    });

    it('fetch gives the message as it came, and rendered', async () => {
      assert.equal((await rowsOf('fetch', '-u', 'cleo', 'text', 'mailbox', 'box', 'all'))[0]?.['text'], message);
      const [row] = await rowsOf('fetch', '-u', 'cleo', 'hdr text.utf8 body.header body.preview', 'mailbox', 'box', 'all');
      const [header = ''] = message.split('\n\n');
      assert.equal(row?.['hdr'], `${header}\n\n`);
      assert.equal(row?.['body.header'], `${header}\n\n`.replaceAll('\n', '\r\n'));
      assert.match(String(row?.['text.utf8']), /^Subject: hi ä folded$[\s\S]*\n\nline ä\nline two\n$/m);
      assert.equal(row?.['body.preview'], 'line ä line two');
    });

    it('fetch has types in JSON', async () => {
      const fields =
        'user mailbox seq uid flags modseq size.physical date.received date.sent hdr.received hdr.subject hdr.nope imap.bodystructure';
      const [row] = await rowsOf('fetch', '-u', 'cleo', fields, 'mailbox', 'box', 'all');
      const { modseq, 'size.physical': size, 'date.received': received, 'imap.bodystructure': structure, ...rest } = row ?? {};
      assert.deepEqual(rest, {
        user: 'cleo',
        mailbox: 'box',
        seq: 1,
        uid: 1,
        flags: ['\\Seen', '\\Recent', '$Foo'],
        'date.sent': '2020-11-03T08:30:00.000Z',
        'hdr.received': ['one', 'two'],
        'hdr.subject': 'hi =?utf-8?q?=C3=A4?= folded',
        'hdr.nope': null,
      });
      assert.equal(typeof modseq, 'number');
      assert.equal(size, message.replaceAll('\n', '\r\n').length);
      assert.ok(Math.abs(Date.parse(String(received)) - Date.now()) < 60_000);
      assert.match(String(structure), /^"text" "plain" \("charset" "utf-8"\) NIL NIL "quoted-printable"/);
    });

    it('fetch knows the octets on disk of a message that has bare line feeds there', async () => {
      const path = join(roost.maildir('cleo'), '.box/new', `1700000000.M1P1.host,S=${message.length}`);
      writeFileSync(path, message);
      if (isRoot) chownSync(path, mailUid, mailUid);
      const rows = await rowsOf('fetch', '-u', 'cleo', 'size.physical size.virtual', 'mailbox', 'box', '2');
      assert.deepEqual(rows, [{ 'size.physical': message.length, 'size.virtual': message.replaceAll('\n', '\r\n').length }]);
    });

    it('fetch lists its fields when there is a wrong one', async () => {
      for (const field of ['nope', 'body.mime', 'body.0', 'binary.1.mime', 'hdr.']) {
        const { code, stderr } = await admin('fetch', '-u', 'cleo', field, 'all');
        assert.equal(code, 64, field);
        assert.match(stderr, /^roostadm: Fatal: Unknown fetch field: \S+\. Available fetch fields: hdr\.<name> /);
      }
    });
  });

  describe('messages change', () => {
    it('flags are added, removed and replaced', async () => {
      await save('dora', 'INBOX', '--flags', '\\Draft');
      const flags = async (): Promise<unknown> => (await rowsOf('fetch', '-u', 'dora', 'flags', 'all'))[0]?.['flags'];
      assert.deepEqual(await admin('flags', 'add', '-u', 'dora', '\\seen $Foo', 'all'), silent);
      assert.deepEqual(await admin('flags', 'remove', '-u', 'dora', '\\Draft', 'all'), silent);
      assert.deepEqual(await flags(), ['\\Seen', '$Foo']);
      assert.deepEqual(await admin('flags', 'replace', '-u', 'dora', '\\Flagged', 'all'), silent);
      assert.deepEqual(await flags(), ['\\Flagged']);
      assert.equal((await admin('flags', 'add', '-u', 'dora', '\\Nope', 'all')).stderr, 'roostadm: Fatal: Invalid system flag: \\Nope\n');
      assert.equal((await admin('flags', 'add', '-u', 'dora', '\\Recent', 'all')).code, 64);
    });

    it('copy and move take messages to another mailbox', async () => {
      await admin('mailbox', 'create', '-u', 'eric', 'box');
      await save('eric');
      await save('eric');
      assert.deepEqual(await admin('copy', '-u', 'eric', 'box', 'mailbox', 'INBOX', 'uid', '1'), silent);
      assert.deepEqual(await counts('eric'), { INBOX: 2, box: 1 });
      assert.deepEqual(await admin('move', '-u', 'eric', 'box', 'mailbox', 'INBOX', 'all'), silent);
      assert.deepEqual(await counts('eric'), { INBOX: 0, box: 3 });
      // Moving to where they are gives no new UIDs.
      assert.deepEqual(await admin('move', '-u', 'eric', 'box', 'all'), silent);
      assert.deepEqual(
        (await rowsOf('search', '-u', 'eric', 'all')).map(({ uid }) => uid),
        [1, 2, 3],
      );
      assert.deepEqual(await admin('copy', '-u', 'eric', 'nope', 'all'), {
        code: 68,
        stdout: '',
        stderr: "roostadm(eric): Error: Can't open mailbox 'nope': Mailbox doesn't exist: nope\n",
      });
    });

    it('expunge deletes what matches, marked as deleted before or not, and nothing else', async () => {
      await admin('mailbox', 'create', '-u', 'fay', 'box');
      await save('fay', 'INBOX', '--flags', '\\Seen');
      await save('fay', 'INBOX', '--flags', '\\Deleted');
      await save('fay', 'box');
      assert.deepEqual(await admin('expunge', '-u', 'fay', 'mailbox', 'INBOX', 'seen'), silent);
      assert.deepEqual(await counts('fay'), { INBOX: 1, box: 1 });
      assert.deepEqual(await admin('expunge', '-u', 'fay', '-d', 'mailbox', '*', 'all'), silent);
      assert.deepEqual(await counts('fay'), { INBOX: 0 });
    });

    it('expunge wants to know mailbox and messages, to avoid accidents', async () => {
      const refused = async (...query: readonly string[]): Promise<string> => {
        const { code, stderr } = await admin('expunge', '-u', 'fay', ...query);
        assert.equal(code, 64);
        return stderr;
      };
      assert.equal(
        await refused('all'),
        'roostadm: Fatal: expunge: To avoid accidents, search query must contain MAILBOX in all search branches\n',
      );
      assert.match(await refused('(', 'mailbox', 'INBOX', 'seen', ')', 'or', 'seen'), /must contain MAILBOX/);
      assert.match(
        await refused('mailbox', 'INBOX'),
        /must contain something else besides MAILBOX \(e\.g\. just add "all" if you want everything\)\n$/,
      );
    });

    it('save refuses what cannot be saved', async () => {
      assert.equal(
        (await save('fay', 'nope')).stderr,
        "roostadm(fay): Error: Failed to save mail to mailbox nope: Mailbox doesn't exist: nope\n",
      );
      assert.equal((await roost.admin(['save', '-u', 'fay'])).stderr, 'roostadm: Fatal: No message on standard input\n');
      assert.equal((await save('fay', 'INBOX', '-r', 'x')).code, 65);
    });

    it('index prepares a mailbox', async () => {
      await save('dora');
      const { code, stderr } = await admin('index', '-v', '-u', 'dora', 'INBOX');
      assert.equal(code, 0);
      assert.match(stderr, /^roostadm\(dora\): Info: INBOX: \d+ messages$/m);
    });
  });

  describe('what is derived from messages', () => {
    const folder = (): string => roost.maildir('ivy');
    const facts = (): Promise<Record<string, unknown>[]> =>
      rowsOf('fetch', '-u', 'ivy', 'uid guid flags modseq', 'mailbox', 'INBOX', 'all');

    before(async () => {
      await save('ivy', 'INBOX', '--flags', '\\Seen $Foo');
      await save('ivy');
      await admin('expunge', '-u', 'ivy', 'mailbox', 'INBOX', 'uid', '2');
      await save('ivy');
      await admin('index', '-u', 'ivy', 'INBOX');
    });

    it('dump shows snapshot, log and cache', async () => {
      const rows = await rowsOf('dump', folder());
      const headers = rows.filter(({ part }) => part === 'header').map(({ file }) => file);
      assert.deepEqual(headers, ['roost.index', 'roost.index.log', 'roost.cache']);
      assert.deepEqual(
        rows.filter(({ values }) => Object.hasOwn(Object(values), 'invalid')),
        [],
      );
      assert.match((await admin('dump', join(folder(), 'roost.index'))).stdout, /^roost\.index header at=0 rows=\d+ /);
      assert.equal((await admin('dump', join(folder(), 'nope'))).code, 68);
      assert.equal((await admin('dump', join(folder(), 'dovecot-uidlist'))).code, 64);
    });

    it('force-resync makes the index anew; UIDs, flags and keywords stay', async () => {
      const earlier = (await facts()).map(({ modseq: _, ...rest }) => rest);
      assert.deepEqual(
        earlier.map(({ uid }) => uid),
        [1, 3],
      );
      const index = join(folder(), 'roost.index');
      // Kept open: the inode of a file that is gone may be given to the next one.
      const before = openSync(index, 'r');
      try {
        assert.deepEqual(await admin('force-resync', '-u', 'ivy', '*'), silent);
        assert.notEqual(lstatSync(index).ino, fstatSync(before).ino);
      } finally {
        closeSync(before);
      }
      assert.deepEqual(
        (await facts()).map(({ modseq: _, ...rest }) => rest),
        earlier,
      );
    });

    it('force-resync leaves sessions working', async () => {
      const client = new LineClient(connect(roost.ports.imap, '127.0.0.1'));
      await client.line();
      await client.ok('LOGIN ivy secret');
      await client.ok('SELECT INBOX');
      assert.deepEqual(await admin('force-resync', '-u', 'ivy', 'INBOX'), silent);
      await client.ok('STORE 2 +FLAGS.SILENT (\\Flagged)');
      await save('ivy');
      assert.ok((await client.ok('NOOP')).includes('* 3 EXISTS'));
      await client.ok('LOGOUT');
      assert.deepEqual(
        (await facts()).map(({ uid, flags }) => [uid, flags]),
        [
          [1, ['\\Seen', '$Foo']],
          [3, ['\\Flagged']],
          [4, []],
        ],
      );
    });

    it('quota get shows what is used, and quota recalc counts it again', async () => {
      const used = async (): Promise<unknown[]> =>
        (await rowsOf('quota', 'get', '-u', 'ivy')).map(({ type, value, limit }) => [type, value, limit]);
      const kilobytes = Math.ceil((3 * message.replaceAll('\n', '\r\n').length) / 1024);
      assert.deepEqual(await used(), [
        ['STORAGE', kilobytes, 1024],
        ['MESSAGE', 3, null],
      ]);
      const sums = join(folder(), 'maildirsize');
      writeFileSync(sums, '1048576S\n9000 9\n');
      assert.deepEqual(await used(), [
        ['STORAGE', 9, 1024],
        ['MESSAGE', 9, null],
      ]);
      assert.deepEqual(await admin('quota', 'recalc', '-u', 'ivy'), silent);
      assert.deepEqual((await used())[1], ['MESSAGE', 3, null]);
      assert.match(
        (await admin('quota', 'get', '-u', 'ivy')).stdout,
        /^Quota name Type +Value Limit +%\nUser quota STORAGE +\d+ +1024 +0\nUser quota MESSAGE +3 +- +0\n$/,
      );
    });
  });

  describe('users', () => {
    it('-A names the user of each row', async () => {
      const { stdout } = await admin('mailbox', 'list', '-A', 'INBOX');
      assert.equal(stdout, ['anna', 'bert', 'cleo', 'dora', 'eric', 'fay', 'gus', 'hope', 'ivy'].map((name) => `${name} INBOX\n`).join(''));
    });

    it('-u takes a pattern, -F a file', async () => {
      assert.deepEqual(await rowsOf('mailbox', 'list', '-u', 'g*', 'INBOX'), [{ username: 'gus', mailbox: 'INBOX' }]);
      const file = join(roost.folder, 'some-users');
      writeFileSync(file, 'hope\n\nnobody\ngus\n');
      assert.deepEqual(await admin('mailbox', 'list', '-F', file, 'INBOX'), {
        code: 67,
        stdout: 'hope INBOX\ngus INBOX\n',
        stderr: "roostadm(nobody): Error: User doesn't exist\n",
      });
      assert.equal((await admin('mailbox', 'list', '-A', '-u', 'gus')).code, 64);
    });

    it('a user that does not exist is 67', async () => {
      assert.deepEqual(await admin('search', '-u', 'nobody', 'all'), {
        code: 67,
        stdout: '',
        stderr: "roostadm(nobody): Error: User doesn't exist\n",
      });
    });

    it('nothing in the mail folders belongs to root', { skip: isRoot ? false : 'only root can change users' }, async () => {
      await save('gus');
      await save('hope');
      await admin('search', '-A', 'text', 'line');
      assert.deepEqual([process.geteuid?.(), process.getegid?.()], [0, 0]);
      const files = readdirSync(join(roost.folder, 'mail'), { recursive: true, encoding: 'utf8' });
      assert.ok(files.length > 20);
      for (const file of files) {
        const { uid, gid } = lstatSync(join(roost.folder, 'mail', file));
        assert.deepEqual([file, uid, gid], [file, mailUid, mailUid]);
      }
    });

    it('mail of a server that a normal user has started belongs to that user', {
      skip: isRoot ? false : 'only root can change users',
    }, async () => {
      await using other = await startRoost({ isUnprivileged: true, protocols: ['imap'] });
      assert.deepEqual(await other.admin(['save', '-u', 'alice'], message), silent);
      const { uid } = lstatSync(join(other.maildir('alice'), 'cur'));
      assert.equal(uid, nobodyUid);
      assert.match((await adminOf(other)('search', '-A', 'all')).stdout, /^alice [0-9a-f]{32} 1\n$/);
    });
  });
});
