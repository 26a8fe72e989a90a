import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { type CommandResult, type RunningRoost, startRoost } from '../support/running-roost.js';
import { adminOf } from './captured.js';

const isRoot = process.getuid?.() === 0;

describe('roostadm asks a running server', () => {
  let roost: RunningRoost;
  let admin: (...argv: readonly string[]) => Promise<CommandResult>;

  before(async () => {
    roost = await startRoost({
      users: {
        alice: 'secret',
        bob: '{PLAIN}secret::::/nowhere::allow_nets=192.0.2.0/24',
        carol: '{PLAIN}secret::::::userdb_quota_rule=*:storage=1G',
      },
      settings: { auth_failure_delay: '0' },
    });
    admin = adminOf(roost);
  });
  after(async () => {
    await roost.stop();
  });

  /** Logs in through IMAP. */
  async function logIn(user: string): Promise<LineClient> {
    const socket = connect(roost.ports.imap, '127.0.0.1');
    await once(socket, 'connect');
    const client = new LineClient(socket);
    assert.match((await client.line()) ?? '', /^\* OK/);
    await client.ok(`LOGIN ${user} secret`);
    return client;
  }

  /** Anvil hears of sessions a moment after their clients do. */
  async function untilSessions(count: number): Promise<void> {
    let lines = -1;
    for (const deadline = Date.now() + patienceMs; Date.now() < deadline; ) {
      lines = (await admin('who', '-1')).stdout.split('\n').length - 2;
      if (lines === count) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.fail(`${lines} sessions, not ${count}`);
  }

  describe('who and kick', () => {
    it('shows nobody as a header alone, and as an empty list', async () => {
      assert.deepEqual(await admin('who'), { code: 0, stdout: 'username # proto (pids) (ips)\n', stderr: '' });
      assert.deepEqual(await admin('who', '--json'), { code: 0, stdout: '[]\n', stderr: '' });
    });

    it('groups sessions by user, and ends those that are meant', async () => {
      const clients = [await logIn('alice'), await logIn('alice'), await logIn('carol')] as const;
      await untilSessions(3);
      const { stdout } = await admin('who');
      assert.match(
        stdout,
        /^username # proto \(pids\) +\(ips\)\nalice {4}2 imap {2}\(\d+\) +\(127\.0\.0\.1\)\ncarol {4}1 imap {2}\(\d+\) +\(127\.0\.0\.1\)\n$/,
      );
      const rows: unknown = JSON.parse((await admin('who', '--json', 'a*')).stdout);
      assert.ok(Array.isArray(rows) && rows.length === 1);
      const { pids, ...rest } = rows[0];
      assert.deepEqual(rest, { username: 'alice', connections: 2, service: 'imap', ips: ['127.0.0.1'] });
      assert.ok(pids.every((pid: unknown) => typeof pid === 'number'));
      assert.equal((await admin('who', '-1', '127.0.0.0/8')).stdout.split('\n').length, 5);
      assert.equal((await admin('who', '-1', '192.0.2.0/24')).stdout.split('\n').length, 2);
      assert.deepEqual(await admin('kick', 'al?ce'), {
        code: 0,
        stdout: 'kicked connections from the following users:\nalice sessions=2\n',
        stderr: '',
      });
      const [first, second, third] = clients;
      assert.match((await first.line()) ?? '', /^\* BYE/);
      assert.match((await second.line()) ?? '', /^\* BYE/);
      await third.ok('NOOP');
      for (const client of clients) client.stream.destroy();
      await untilSessions(0);
    });

    it('says so when nobody was meant', async () => {
      assert.deepEqual(await admin('kick', 'nobody'), { code: 68, stdout: 'no users kicked\n', stderr: '' });
      assert.deepEqual(await admin('kick'), {
        code: 64,
        stdout: '',
        stderr: 'roostadm: Error: user and/or ip[/bits] must be specified.\n',
      });
    });
  });

  describe('auth', () => {
    it('test tells right passwords from wrong ones', async () => {
      const succeeded = { code: 0, stdout: 'passdb: alice auth succeeded\nextra fields:\n  user=alice\n', stderr: '' };
      assert.deepEqual(await admin('auth', 'test', 'alice', 'secret'), succeeded);
      const failed = { code: 77, stdout: 'passdb: alice auth failed\nextra fields:\n  user=alice\n', stderr: '' };
      assert.deepEqual(await admin('auth', 'test', 'alice', 'wrong'), failed);
      assert.equal((await admin('auth', 'test', 'nobody', 'secret')).code, 77);
    });

    it('test tells auth where the login comes from', async () => {
      assert.equal((await admin('auth', 'test', '-x', 'rip=192.0.2.7', 'bob', 'secret')).code, 0);
      assert.equal((await admin('auth', 'test', '-x', 'rip=198.51.100.7', 'bob', 'secret')).code, 77);
    });

    it('login shows what a mail process would get', async () => {
      const { code, stdout } = await admin('auth', 'login', 'carol', 'secret');
      assert.equal(code, 0);
      assert.match(stdout, /^passdb: carol auth succeeded\nextra fields:\n {2}user=carol\nuserdb extra fields:\n {2}carol\n/);
      assert.match(stdout, /^ {2}quota_rule=\*:storage=1G$/m);
      const [row] = JSON.parse((await admin('--json', 'auth', 'login', 'carol', 'secret')).stdout);
      assert.deepEqual([row.success, row.userdb.user, row.userdb.quota_rule], [true, 'carol', '*:storage=1G']);
    });

    it('lookup shows passdb fields, and goes on behind users that do not exist', async () => {
      assert.deepEqual(await admin('auth', 'lookup', 'nobody', 'alice'), {
        code: 67,
        stdout: '\npassdb: alice\n  user      : alice\n',
        stderr: "roostadm: Error: passdb lookup: user nobody doesn't exist\n",
      });
    });

    it('cache flush counts entries', async () => {
      assert.deepEqual(await admin('auth', 'cache', 'flush'), { code: 0, stdout: '0 cache entries flushed\n', stderr: '' });
      assert.equal((await admin('auth', 'cache', 'flush', '--json')).stdout, '[{"entries":0}]\n');
    });
  });

  describe('user', () => {
    it('shows what takes effect', async () => {
      const { code, stdout } = await admin('user', 'alice');
      assert.equal(code, 0);
      const lines = stdout.trimEnd().split('\n');
      assert.equal(lines[0], 'field\tvalue');
      assert.deepEqual(lines.slice(3), [`home\t${roost.folder}/mail/alice`, 'mail\tmaildir:~/Maildir']);
    });

    it('gives one field, or a text with variables', async () => {
      assert.equal((await admin('user', '-f', 'home', 'alice')).stdout, `${roost.folder}/mail/alice\n`);
      assert.equal((await admin('user', '-e', '%{home}:%u:%d', 'alice')).stdout, `${roost.folder}/mail/alice:alice:\n`);
      assert.equal((await admin('user', '-f', 'nofield', 'alice')).code, 67);
    });

    it('lists names that match', async () => {
      assert.equal((await admin('user', '*')).stdout, 'alice\nbob\ncarol\n');
      assert.equal((await admin('user', '?o*')).stdout, 'bob\n');
    });

    it('fails for a user that does not exist', async () => {
      assert.deepEqual(await admin('user', 'nobody'), {
        code: 67,
        stdout: '',
        stderr: "roostadm: Error: userdb lookup: user nobody doesn't exist\n",
      });
    });
  });

  describe('services', () => {
    it('status has one record for each service', async () => {
      const { stdout } = await admin('service', 'status');
      const records = stdout.split('\f\n').map((record) => record.split('\n')[0]);
      for (const name of ['anvil', 'auth', 'imap', 'imap-login', 'lmtp', 'pop3', 'pop3-login', 'smtp']) {
        assert.ok(records.includes(`name: ${name}`), `${name} is missing in ${records}`);
      }
      const [imap] = JSON.parse((await admin('service', 'status', 'imap', '--json')).stdout);
      assert.deepEqual([imap.name, imap.process_limit, imap.throttled], ['imap', 32, false]);
      assert.equal((await admin('service', 'status', 'nope')).code, 68);
    });

    it('stop ends processes, which come back', async () => {
      const pidOf = async (): Promise<number> => JSON.parse((await admin('process', 'status', '--json', 'imap-login')).stdout)[0]?.pid ?? 0;
      const earlier = await pidOf();
      assert.ok(earlier > 0);
      assert.deepEqual(await admin('service', 'stop', 'imap-login', 'nope'), {
        code: 68,
        stdout: '',
        stderr: 'roostadm: Error: Unknown service: nope\n',
      });
      for (let attempt = 0; attempt < 200 && [0, earlier].includes(await pidOf()); attempt += 1)
        await new Promise((resolve) => setTimeout(resolve, 10));
      assert.notEqual(await pidOf(), earlier);
      const client = await logIn('alice');
      client.stream.destroy();
    });

    it('penalty shows addresses with failures behind them', async () => {
      await admin('auth', 'test', '-x', 'rip=192.0.2.99', 'alice', 'wrong');
      const rows = JSON.parse((await admin('penalty', '--json', '192.0.2.0/24')).stdout);
      assert.deepEqual(
        rows.map(({ IP, penalty }: { IP: string; penalty: number }) => [IP, penalty]),
        [['192.0.2.99', 1]],
      );
      assert.equal((await admin('penalty', '203.0.113.1')).stdout.split('\n').length, 2);
    });
  });

  it('config prints what roost -n prints', async () => {
    assert.match((await admin('config', '-n')).stdout, /^base_dir = .*\/run$/m);
    assert.equal((await admin('config', '-h', 'base_dir')).stdout, `${roost.baseDir}\n`);
    assert.deepEqual(JSON.parse((await admin('config', '--json', 'base_dir')).stdout), [{ setting: 'base_dir', value: roost.baseDir }]);
    assert.equal((await admin('config', 'nope')).code, 78);
  });

  it('reload takes a new configuration, and stop ends the server', async () => {
    await using other = await startRoost({ protocols: ['imap'] });
    const { code: reloaded, stderr: warnings } = await other.admin(['reload']);
    assert.equal(reloaded, 0);
    // Where few files may be open it warns of that.
    assert.match(warnings, /^(roostadm: Warning: fd limit .*\n)?$/);
    await other.logged(/reloading configuration/);
    assert.deepEqual(await other.admin(['stop']), { code: 0, stdout: '', stderr: '' });
    const { code, stderr } = await other.admin(['who']);
    assert.equal(code, 75);
    assert.match(stderr, /^roostadm: Fatal: anvil\(.*\/anvil\): .*\(is Roost running\?\)\n$/);
    assert.match((await other.admin(['reload'])).stderr, /^roostadm: Fatal: Roost is not running \(nothing listens on .*\/master\)\n$/);
    assert.equal(await other.stop(), 0);
  });

  it('reload tells what the configuration is warned about', async () => {
    await using other = await startRoost({ protocols: ['imap'], openFiles: 400 });
    const { code, stderr } = await other.admin(['reload']);
    assert.equal(code, 0);
    assert.match(
      stderr,
      /^roostadm: Warning: fd limit \(ulimit -n\) is lower than required under max\. load \(400 < 10000\), because of service imap-hibernate \{ client_limit \} [^\n]*\n$/,
    );
  });

  it('says who may not ask', { skip: isRoot ? false : 'only root can change users' }, async () => {
    const { seteuid } = process;
    assert.ok(seteuid);
    seteuid(65_534);
    try {
      assert.equal((await admin('reload')).code, 77);
    } finally {
      seteuid(0);
    }
  });
});
