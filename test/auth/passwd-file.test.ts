import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { parseFieldList } from '#auth/field-list.js';
import { PasswdFiles, parsePasswdFile } from '#auth/passwd-file.js';
import { type LogFields, silentLogger } from '#log/logger.js';
import { createFixture, plainResponse } from '../services/auth/fixture.js';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'roost-passwd-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

describe('passwd-file format', () => {
  for (const [line, expected] of [
    ['bob:{PLAIN}x', { user: 'bob', password: '{PLAIN}x', uid: '', gid: '', home: '', extra: '' }],
    ['bob:x:1:2:gecos:/home/bob:/bin/sh:a=1 b=2', { user: 'bob', password: 'x', uid: '1', gid: '2', home: '/home/bob', extra: 'a=1 b=2' }],
    ['bob:x::::::allow_nets=fe80::/10', { user: 'bob', password: 'x', uid: '', gid: '', home: '', extra: 'allow_nets=fe80::/10' }],
    ['bob:x\r', { user: 'bob', password: 'x', uid: '', gid: '', home: '', extra: '' }],
    ['bob', { user: 'bob', password: '', uid: '', gid: '', home: '', extra: '' }],
  ] as const) {
    it(`reads ${JSON.stringify(line)}`, () => assert.deepEqual(parsePasswdFile(`# comment\n\n${line}\n`).entries.get('bob'), expected));
  }

  it('keeps the first line of a user', () => {
    const { entries, repeated } = parsePasswdFile('a:1\nb:2\na:3');
    assert.equal(entries.get('a')?.password, '1');
    assert.deepEqual(repeated, ['a']);
  });

  it('reads extra fields with and without values', () => {
    assert.deepEqual(parseFieldList(' nologin  a=1 mail=maildir:~/M=x  b="two words" c='), [
      ['nologin', 'yes'],
      ['a', '1'],
      ['mail', 'maildir:~/M=x'],
      ['b', 'two words'],
      ['c', ''],
    ]);
  });
});

describe('passwd-file in memory', () => {
  it('is read again within a second after a change, and not looked at more often', async (t) => {
    const path = join(folder(t), 'users');
    writeFileSync(path, 'bob:1\n');
    let nowMs = 5000;
    const files = new PasswdFiles({ log: silentLogger, nowMs: () => nowMs });
    const password = async (): Promise<string | undefined> => {
      const read = await files.read(path);
      return read.kind === 'entries' ? read.entries.get('bob')?.password : read.kind;
    };
    assert.equal(await password(), '1');
    writeFileSync(path, 'bob:22\n');
    nowMs += 999;
    assert.equal(await password(), '1');
    nowMs += 1;
    assert.equal(await password(), '22');
    // Same size and mtime, other file: a rename in the same moment is still seen.
    utimesSync(path, 1, 1);
    nowMs += 1000;
    await password();
    writeFileSync(`${path}.new`, 'bob:33\n');
    utimesSync(`${path}.new`, 1, 1);
    renameSync(`${path}.new`, path);
    nowMs += 1000;
    assert.equal(await password(), '33');
    rmSync(path);
    nowMs += 1000;
    assert.equal(await password(), 'missing');
  });

  it('is looked at again after the clock was set back', async (t) => {
    const path = join(folder(t), 'users');
    writeFileSync(path, 'bob:1\n');
    let nowMs = 5_000_000;
    const files = new PasswdFiles({ log: silentLogger, nowMs: () => nowMs });
    await files.read(path);
    writeFileSync(path, 'bob:22\n');
    nowMs -= 3_600_000;
    const read = await files.read(path);
    assert.equal(read.kind === 'entries' ? read.entries.get('bob')?.password : read.kind, '22');
  });

  it('warns of users that come twice', async (t) => {
    const path = join(folder(t), 'users');
    writeFileSync(path, 'bob:1\nbob:2\n');
    const lines: string[] = [];
    const log = { ...silentLogger, warning: (_event: string, text: string, _fields?: LogFields) => void lines.push(text) };
    await new PasswdFiles({ log, nowMs: () => 0 }).read(path);
    assert.deepEqual(lines, [`passwd-file ${path}: User bob exists more than once`]);
  });
});

describe('passwd-file passdb and userdb', () => {
  const attempt = async (t: TestContext, options: Parameters<typeof createFixture>[1], user: string, password: string): Promise<string> => {
    const wire = createFixture(t, options).client(true);
    await wire.take(9);
    wire.send(`VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\tservice=imap\trip=10.0.0.9\tresp=${plainResponse(user, password)}\n`);
    return (await wire.take()).join();
  };

  it('takes a bare password in the scheme of args, and libpam-pwdfile forms', async (t) => {
    const users = 'bob:secret:1:2\nann:2cb3f023113da037645a4371c2464b26[34]:1:2\n';
    const options = { users, passdbs: [{ driver: 'passwd-file', args: 'scheme=PLAIN PATH' }] };
    assert.match(await attempt(t, options, 'bob', 'secret'), /^OK/);
    assert.match(await attempt(t, options, 'ann', 'pässw0rd'), /^OK/);
  });

  it('looks users up by username_format, and logs in with the formatted name', async (t) => {
    const options = {
      passdbs: [{ driver: 'passwd-file', args: 'username_format=%n PATH' }],
      userdbs: [{ driver: 'passwd-file', args: 'username_format=%n PATH' }],
    };
    assert.match(await attempt(t, options, 'BOB@Example.ORG', 'secret'), /^OK\t1\tuser=bob@example.org\t/);
  });

  it('gives the fields of the file to prefetch', async (t) => {
    const users = 'bob:{PLAIN}secret:1:2::/ignored::userdb_uid=77 userdb_gid=78 userdb_mail=maildir:/m/%n note=x\n';
    const fixture = createFixture(t, { users, userdbs: [{ driver: 'prefetch' }, { driver: 'static', args: 'uid=9 gid=9' }] });
    const wire = fixture.client(true);
    const greeting = await wire.take(9);
    wire.send(`VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\tservice=imap\tresp=${plainResponse('bob', 'secret')}\n`);
    assert.deepEqual(await wire.take(), ['OK\t1\tuser=bob\tnote=x\troost_uid=77\troost_gid=78']);
    const master = fixture.master();
    await master.take(2);
    master.send(
      `VERSION\t1\t1\nREQUEST\t1\t1\t1\t${greeting[7]?.split('\t')[1]}\nUSER\t2\tbob\tservice=lmtp\nUSER\t3\teve\tservice=lmtp\n`,
    );
    assert.deepEqual((await master.take(3)).sort(), [
      'NOTFOUND\t3',
      'USER\t1\tbob\tuid=77\tgid=78\tmail=maildir:/m/bob',
      'USER\t2\tbob\tuid=9\tgid=9',
    ]);
  });

  it('has one file per domain, and knows no domain whose file is not there', async (t) => {
    const base = folder(t);
    mkdirSync(join(base, 'example.org'));
    writeFileSync(join(base, 'example.org', 'users'), 'bob:{PLAIN}secret:1:2\n');
    const args = `username_format=%n ${base}/%d/users`;
    const options = { passdbs: [{ driver: 'passwd-file', args }], userdbs: [{ driver: 'passwd-file', args }] };
    assert.match(await attempt(t, options, 'bob@example.org', 'secret'), /^OK/);
    assert.equal(await attempt(t, options, 'bob@example.net', 'secret'), 'FAIL\t1\tuser=bob@example.net');
  });

  it('lets no user name lead out of the folder of the files', async (t) => {
    const base = folder(t);
    mkdirSync(join(base, 'domains'));
    writeFileSync(join(base, 'users'), 'bob:{PLAIN}secret:1:2\n');
    const args = `username_format=%n ${base}/domains/%d/users`;
    const options = { settings: { auth_username_chars: '' }, passdbs: [{ driver: 'passwd-file', args }] };
    for (const user of ['bob@..', 'bob@domains/..', 'bob@./..', 'bob@'])
      assert.match(await attempt(t, options, user, 'secret'), /^FAIL/, user);
  });

  it('is a temporary failure when the file is gone', async (t) => {
    assert.equal(
      await attempt(t, { passdbs: [{ driver: 'passwd-file', args: 'PATH.gone' }] }, 'bob', 'secret'),
      'FAIL\t1\tuser=bob\ttemp\tcode=temp_fail',
    );
  });

  it('lets new passwords in, and old ones no more, one second after the change, whatever was remembered', async (t) => {
    const fixture = createFixture(t, {
      users:
        'bob:{SHA512-CRYPT}$6$KpCCIDdQkvETCXRc$UG97aeYXxlkJjA/C7Q8Q0zUG3zGLimoH7nLHzL1hkUmFm7M8/ujd1MNaHdojUCfFcoozc7Tizjmm/TqeBH929.\n',
    });
    const wire = fixture.client();
    await wire.take(9);
    wire.send('VERSION\t1\t1\nCPID\t1\n');
    const tryPassword = async (password: string): Promise<string> => {
      wire.send(`AUTH\t1\tPLAIN\tservice=imap\tresp=${plainResponse('bob', password)}\n`);
      return (await wire.take()).join();
    };
    for (let round = 0; round < 3; round += 1) {
      assert.equal(await tryPassword('pässw0rd'), 'OK\t1\tuser=bob');
      assert.equal(await tryPassword('wrong'), 'FAIL\t1\tuser=bob');
    }
    fixture.rewrite(
      'bob:{SHA512-CRYPT}$6$okLOQlk4HuTfmenw$V/Ye1QpCTQn0PeIc1PpcFGn3RR65fSgPZlXSfz5fzk3vZ2ILr4CUBjnZOL0ZuvLPCUvZSf5OwHrkZL9XVt2bG0\n',
    );
    fixture.clock.nowMs += 1000;
    assert.equal(await tryPassword('pässw0rd'), 'FAIL\t1\tuser=bob');
  });
});
