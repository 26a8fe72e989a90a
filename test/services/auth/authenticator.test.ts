import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { authListenerKind } from '#auth/interface.js';
import { createFixture, type FixtureOptions, plainResponse } from './fixture.js';

async function attempt(t: TestContext, options: FixtureOptions, response: string): Promise<string> {
  const wire = createFixture(t, options).client();
  while (!(await wire.take()).includes('DONE'));
  wire.send(`VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\tservice=imap\tresp=${response}\n`);
  return (await wire.take()).join();
}

describe('configuration of the auth role', () => {
  for (const [passdb, problem] of [
    [{ driver: 'sql', args: '/etc/sql.conf' }, 'roost.conf:10: passdb driver sql is not implemented yet'],
    [{ driver: 'pam' }, 'roost.conf:10: passdb driver pam is not implemented yet'],
    [{ driver: 'nope' }, 'roost.conf:10: Unknown passdb driver nope'],
    [{}, 'roost.conf:10: passdb is missing driver'],
    [{ driver: 'passwd-file' }, 'roost.conf:10: passwd-file: Missing path'],
    [{ driver: 'passwd-file', args: 'scheme=ROT13 /x' }, 'roost.conf:10: passwd-file: Unknown password scheme ROT13'],
    [{ driver: 'static', result_success: 'maybe' }, 'roost.conf:10: Invalid result_success: maybe'],
  ] as const) {
    it(`names file and line: ${problem}`, (t) => {
      assert.throws(() => createFixture(t, { passdbs: [passdb] }), { message: problem });
    });
  }

  it('names all problems at once', (t) => {
    const create = (): unknown =>
      createFixture(t, {
        passdbs: [{ driver: 'ldap' }],
        userdbs: [{ driver: 'sql' }],
        settings: { auth_cache_size: 1000, auth_mechanisms: ['plain', 'plainn'] },
      });
    assert.throws(create, (error: Error) => {
      assert.deepEqual(error.message.split('\n'), [
        "auth_mechanisms: Unknown authentication mechanism 'plainn' (known: plain login cram-md5 scram-sha-1 scram-sha-256 external)",
        'auth_cache_size value is too small (1000 bytes)',
        'roost.conf:10: passdb driver ldap is not implemented yet',
        'roost.conf:20: userdb driver sql is not implemented yet',
      ]);
      return true;
    });
  });

  for (const [name, kind] of [
    ['login/login', 'login'],
    ['auth-login', 'login'],
    ['auth-client', 'client'],
    ['auth-master', 'master'],
    ['auth-userdb', 'userdb'],
    ['token-login/tokenlogin', 'token'],
    ['/var/spool/postfix/private/auth', 'client'],
    ['/srv/my-app/sasl', 'client'],
  ] as const) {
    it(`speaks the ${kind} protocol on ${name}`, () => assert.equal(authListenerKind(name), kind));
  }
});

describe('user names', () => {
  const users = 'bob:{PLAIN}secret\nbob@example.org:{PLAIN}domain\nx-y:{PLAIN}secret\n';
  for (const [settings, user, password, expected] of [
    [{}, 'BoB', 'secret', 'OK\t1\tuser=bob'],
    [{ auth_username_format: '' }, 'BoB', 'secret', 'FAIL\t1\tuser=BoB'],
    [{ auth_username_format: '%n' }, 'bob@any', 'secret', 'OK\t1\tuser=bob'],
    [{ auth_default_realm: 'example.org' }, 'bob', 'domain', 'OK\t1\tuser=bob@example.org'],
    [{ auth_username_translation: '#-' }, 'x#y', 'secret', 'FAIL\t1'],
    [{ auth_username_translation: '#-', auth_username_chars: 'xy#' }, 'x#y', 'secret', 'OK\t1\tuser=x-y'],
    [{}, 'böb', 'secret', 'FAIL\t1'],
    [{}, 'bob%u', 'secret', 'FAIL\t1'],
    [{}, 'a'.repeat(513), 'secret', 'FAIL\t1'],
    [{}, 'bob', 'sec\tret', 'FAIL\t1'],
  ] as const) {
    it(`${JSON.stringify(settings)} turn ${user.slice(0, 20)} into ${expected.replaceAll('\t', ' ')}`, async (t) => {
      assert.equal(await attempt(t, { users, settings }, plainResponse(user, password)), expected);
    });
  }
});

describe('master users', () => {
  const passdbs = [
    { driver: 'static', args: 'password=master', master: 'yes', username_filter: 'admin' },
    { driver: 'passwd-file', args: 'PATH' },
  ];
  it('log in as somebody else by separator or by authorization id, and the answer names them', async (t) => {
    const settings = { auth_master_user_separator: '*', auth_username_chars: '' };
    assert.equal(await attempt(t, { passdbs, settings }, plainResponse('bob*admin', 'master')), 'OK\t1\tuser=bob\tauth_user=admin');
    assert.equal(await attempt(t, { passdbs }, plainResponse('admin', 'master', 'bob')), 'OK\t1\tuser=bob\tauth_user=admin');
    assert.equal(await attempt(t, { passdbs }, plainResponse('bob', 'secret', 'bob')), 'OK\t1\tuser=bob');
    assert.match(await attempt(t, { passdbs }, plainResponse('bob', 'secret', 'ann')), /^FAIL/);
    assert.match(await attempt(t, { passdbs, settings }, plainResponse('ann*bob', 'secret')), /^FAIL/);
  });
});

describe('auth master protocol', () => {
  it('answers USER, PASS, LIST and CACHE-FLUSH', async (t) => {
    const master = createFixture(t, { users: 'bob:{PLAIN}x:1:2::/h::note=1\nann:{PLAIN}y:3:4\n' }).master();
    await master.take(2);
    master.send('VERSION\t1\t1\nUSER\t1\tBOB\tservice=lmtp\n');
    assert.deepEqual(await master.take(), ['USER\t1\tbob\tuid=1\tgid=2\thome=/h']);
    master.send('USER\t2\tnobody\tservice=lmtp\n');
    assert.deepEqual(await master.take(), ['NOTFOUND\t2']);
    master.send('PASS\t3\tbob\tservice=lmtp\n');
    assert.deepEqual(await master.take(), ['PASS\t3\tuser=bob\tnote=1']);
    master.send('LIST\t4\tuser=*n*\n');
    assert.deepEqual(await master.take(2), ['LIST\t4\tann', 'DONE\t4']);
    master.send('CACHE-FLUSH\t5\n');
    assert.deepEqual(await master.take(), ['OK\t5\t0']);
  });

  it('fails a list when no userdb can list', async (t) => {
    const master = createFixture(t, { userdbs: [{ driver: 'static', args: 'uid=1' }] }).master();
    await master.take(2);
    master.send('VERSION\t1\t1\nLIST\t1\n');
    assert.deepEqual(await master.take(), ['DONE\t1\tfail']);
  });

  it('tells a static userdb who exists by asking the passdbs', async (t) => {
    const userdbs = [{ driver: 'static', args: 'uid=5 gid=6 home=/v/%u' }];
    const master = createFixture(t, { userdbs }).master();
    await master.take(2);
    master.send('VERSION\t1\t1\nUSER\t1\tbob\tservice=smtp\n');
    assert.deepEqual(await master.take(), ['USER\t1\tbob\tuid=5\tgid=6\thome=/v/bob']);
    master.send('USER\t2\tghost\tservice=smtp\n');
    assert.deepEqual(await master.take(), ['NOTFOUND\t2']);
  });

  it('lets other users of the machine ask for themselves only', async (t) => {
    const fixture = createFixture(t, { users: 'bob:x:1000:1\nann:x:1001:1\n' });
    const own = fixture.master({ kind: 'own', uid: 1000 });
    await own.take(2);
    own.send('VERSION\t1\t1\nUSER\t1\tbob\tservice=imap\nUSER\t2\tann\tservice=imap\n');
    assert.deepEqual(await own.take(2), ['USER\t1\tbob\tuid=1000\tgid=1', 'FAIL\t2\treason=Permission denied']);
    own.send('LIST\t3\n');
    assert.deepEqual(await own.take(2), ['LIST\t3\tbob', 'DONE\t3']);
    own.send('PASS\t4\tbob\tservice=imap\n');
    await own.take();
    assert.equal(own.isEnded, true);
    const userdb = fixture.master({ kind: 'userdb' });
    await userdb.take(2);
    userdb.send('VERSION\t1\t1\nREQUEST\t1\t1\t1\t00\n');
    assert.equal(userdb.isEnded, true);
  });
});
