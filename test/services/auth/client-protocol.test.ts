import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { ClaimOpener, ClaimSealer } from '#auth/claim-token.js';
import { type Logger, silentLogger } from '#log/logger.js';
import { createFixture, type FixtureOptions, plainResponse } from './fixture.js';

const greetingLines = 9;

describe('auth client protocol', () => {
  it('serves Postfix: greeting, PLAIN with initial response, LOGIN in two steps, failure with the user', async (t) => {
    const fixture = createFixture(t);
    const wire = fixture.client();
    const greeting = await wire.take(greetingLines);
    assert.deepEqual(greeting.slice(0, 6), [
      'VERSION\t1\t2',
      'MECH\tPLAIN\tplaintext',
      'MECH\tLOGIN\tplaintext',
      'MECH\tCRAM-MD5\tdictionary\tactive',
      'MECH\tSCRAM-SHA-256\tdictionary\tactive\tmutual-auth',
      `SPID\t${process.pid}`,
    ]);
    assert.match(greeting[6] ?? '', /^CUID\t\d+$/);
    assert.match(greeting[7] ?? '', /^COOKIE\t[0-9a-f]{32}$/);
    assert.equal(greeting[8], 'DONE');
    wire.send('VERSION\t1\t1\nCPID\t815\n');
    wire.send('AUTH\t1\tPLAIN\tservice=smtp\tnologin\tlip=10.0.0.2\trip=10.0.0.9\tsecured\tresp=AGJvYgBzZWNyZXQ=\n');
    assert.deepEqual(await wire.take(), ['OK\t1\tuser=bob']);
    wire.send('AUTH\t2\tLOGIN\tservice=smtp\tnologin\n');
    assert.deepEqual(await wire.take(), ['CONT\t2\tVXNlcm5hbWU6']);
    wire.send('CONT\t2\tYm9i\n');
    assert.deepEqual(await wire.take(), ['CONT\t2\tUGFzc3dvcmQ6']);
    wire.send('CONT\t2\tYmFk\n');
    assert.deepEqual(await wire.take(), ['FAIL\t2\tuser=bob']);
  });

  it('answers a failure only after auth_failure_delay, and at once with nodelay', async (t) => {
    const fixture = createFixture(t, {
      settings: { auth_failure_delay: 2000 },
      users: 'bob:{PLAIN}secret\neve:{PLAIN}secret:::::: nodelay\n',
    });
    const wire = fixture.client();
    await wire.take(greetingLines);
    wire.send(`VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\tservice=smtp\tresp=${plainResponse('bob', 'no')}\n`);
    wire.send(`AUTH\t2\tPLAIN\tservice=smtp\tresp=${plainResponse('eve', 'no')}\n`);
    assert.deepEqual(await wire.take(), ['FAIL\t2\tuser=eve']);
    fixture.clock.nowMs += 1999;
    fixture.authenticator.failures.flush();
    assert.deepEqual(wire.drain(), []);
    fixture.clock.nowMs += 1;
    fixture.authenticator.failures.flush();
    assert.deepEqual(wire.drain(), ['FAIL\t1\tuser=bob']);
  });

  it('tells uid and gid to login sockets only', async (t) => {
    const fixture = createFixture(t);
    for (const [isLogin, expected] of [
      [true, 'OK\t1\tuser=bob\troost_uid=1000\troost_gid=1001'],
      [false, 'OK\t1\tuser=bob'],
    ] as const) {
      const wire = fixture.client(isLogin);
      await wire.take(greetingLines);
      wire.send(`VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\tservice=imap\tresp=${plainResponse('bob', 'secret')}\n`);
      assert.deepEqual(await wire.take(), [expected]);
    }
  });

  it('hands a login to the mail process once, also after the login process has gone', async (t) => {
    const fixture = createFixture(t);
    const login = fixture.client(true);
    const greeting = await login.take(greetingLines);
    const cookie = (greeting[7] ?? '').split('\t')[1] ?? '';
    login.send(`VERSION\t1\t1\nCPID\t815\nAUTH\t7\tPLAIN\tservice=imap\tresp=${plainResponse('bob', 'secret')}\n`);
    await login.take();
    login.close();
    const master = fixture.master();
    assert.deepEqual(await master.take(2), ['VERSION\t1\t1', `SPID\t${process.pid}`]);
    master.send(
      `VERSION\t1\t1\nREQUEST\t1\t815\t7\t${'0'.repeat(32)}\nREQUEST\t2\t816\t7\t${cookie}\nREQUEST\t3\t815\t7\t${cookie}\nREQUEST\t4\t815\t7\t${cookie}\n`,
    );
    assert.deepEqual(await master.take(4), [
      'FAIL\t1\treason=No such authentication request',
      'FAIL\t2\treason=No such authentication request',
      'USER\t3\tbob\tuid=1000\tgid=1001\thome=/home/bob',
      'FAIL\t4\treason=No such authentication request',
    ]);
  });

  const again = async (t: TestContext, wanted: string, settings: FixtureOptions['settings'] = {}, log = silentLogger) => {
    const secret = randomBytes(32);
    const fixture = createFixture(t, { claims: new ClaimSealer(secret), settings, log });
    const wire = fixture.client(true);
    await wire.take(greetingLines);
    wire.send(`VERSION\t1\t1\nCPID\t71\nAUTH\t1\tPLAIN\tservice=imap\tsession=one\t${wanted}\tresp=${plainResponse('bob', 'secret')}\n`);
    const [line = ''] = await wire.take();
    const fields = new Map(line.split('\t').map((field) => [field.split('=')[0] ?? '', field.slice(field.indexOf('=') + 1)]));
    assert.equal(line.split('\t')[0], 'OK');
    return { fields, opener: new ClaimOpener({ secret: secret.toString('base64') }, Date.now) };
  };

  it('seals a login for the connection, and one for those that follow where that is wanted', async (t) => {
    const { fields, opener } = await again(t, 'roost_claim\troost_again');
    const facts = { user: 'bob', service: 'imap', loginPid: 71, authId: 1, sessionId: 'one' };
    const bob = { user: 'bob', fields: { uid: '1000', gid: '1001', home: '/home/bob' } };
    assert.deepEqual(opener.open(fields.get('roost_claim') ?? '', facts), bob);
    for (const sessionId of ['two', 'three'])
      assert.deepEqual(opener.open(fields.get('roost_again') ?? '', { ...facts, sessionId, authId: 9 }), bob);
    assert.equal(fields.get('roost_keep'), '1000');
  });

  it('shows neither the password nor a seal in the debug log', async (t) => {
    const shown: string[] = [];
    const log: Logger = Object.create(silentLogger, {
      isDebug: { value: true },
      debug: { value: (_event: string, text: string) => shown.push(text) },
    });
    const { fields } = await again(t, 'roost_claim\troost_again', {}, log);
    const text = shown.join('\n');
    assert.match(text, /client in: AUTH.* resp=<hidden>\n.*client passdb out: OK.* roost_claim=<hidden> .*roost_again=<hidden>/);
    for (const secret of [plainResponse('bob', 'secret'), fields.get('roost_claim') ?? '', fields.get('roost_again') ?? ''])
      assert.ok(secret !== '' && !text.includes(secret));
  });

  for (const [what, wanted, settings] of [
    ['who does not ask for it', 'roost_claim', {}],
    ['who takes no sealed logins', 'roost_again', {}],
    ['anybody while nothing is cached', 'roost_claim\troost_again', { auth_cache_size: 0 }],
  ] as const)
    it(`seals nothing for logins that follow for ${what}`, async (t) => {
      const { fields } = await again(t, wanted, settings);
      assert.equal(fields.has('roost_again'), false);
    });

  it('refuses a login whose user no userdb knows with a temporary failure', async (t) => {
    const fixture = createFixture(t, { userdbs: [] });
    const wire = fixture.client(true);
    await wire.take(greetingLines);
    wire.send(`VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\tservice=imap\tresp=${plainResponse('bob', 'secret')}\n`);
    assert.deepEqual(await wire.take(), ['FAIL\t1\tuser=bob\ttemp\tcode=temp_fail']);
  });

  it('does CRAM-MD5 with a plain and with a stored context', async (t) => {
    const users = 'bob:{PLAIN}secret\nann:{CRAM-MD5}168f717febf6532cb0daaf83c1b650553eebda901991c0abddc1283720867100\n';
    const fixture = createFixture(t, { users });
    const wire = fixture.client();
    await wire.take(greetingLines);
    wire.send('VERSION\t1\t1\nCPID\t1\n');
    for (const [user, password, expected] of [
      ['bob', 'secret', 'OK\t1\tuser=bob'],
      ['ann', 'pässw0rd', 'OK\t1\tuser=ann'],
      ['ann', 'other', 'FAIL\t1\tuser=ann'],
    ] as const) {
      wire.send('AUTH\t1\tCRAM-MD5\tservice=smtp\n');
      const [line = ''] = await wire.take();
      const challenge = Buffer.from(line.split('\t')[2] ?? '', 'base64');
      const digest = createHmac('md5', password).update(challenge).digest('hex');
      wire.send(`CONT\t1\t${Buffer.from(`${user} ${digest}`).toString('base64')}\n`);
      assert.deepEqual(await wire.take(), [expected]);
    }
  });

  it('forgets a cancelled request without an answer', async (t) => {
    const fixture = createFixture(t);
    const wire = fixture.client();
    await wire.take(greetingLines);
    wire.send('VERSION\t1\t1\nCPID\t1\nAUTH\t1\tLOGIN\tservice=smtp\n');
    await wire.take();
    wire.send(`CANCEL\t1\nCONT\t1\tYm9i\nAUTH\t1\tPLAIN\tservice=smtp\tresp=${plainResponse('bob', 'secret')}\n`);
    assert.deepEqual(await wire.take(), ['OK\t1\tuser=bob']);
  });

  it('ends a request that the client leaves unfinished for 150 s', async (t) => {
    const fixture = createFixture(t);
    const wire = fixture.client();
    await wire.take(greetingLines);
    wire.send('VERSION\t1\t1\nCPID\t1\nAUTH\t1\tLOGIN\tservice=smtp\n');
    await wire.take();
    assert.deepEqual(
      fixture.timers.map(({ ms }) => ms),
      [150_000],
    );
    fixture.timers[0]?.then();
    assert.deepEqual(wire.drain(), ['FAIL\t1\treason=Request timed out\ttemp\tcode=temp_fail']);
    assert.equal(fixture.timers.length, 0);
  });

  for (const [title, text] of [
    ['AUTH before VERSION', 'AUTH\t1\tPLAIN\tservice=x\n'],
    ['another major version', 'VERSION\t2\t0\n'],
    ['AUTH before CPID', 'VERSION\t1\t1\nAUTH\t1\tPLAIN\tservice=x\n'],
    ['an id beyond 32 bits', 'VERSION\t1\t1\nCPID\t1\nAUTH\t4294967296\tPLAIN\tservice=x\n'],
    ['a duplicate id', 'VERSION\t1\t1\nCPID\t1\nAUTH\t1\tLOGIN\tservice=x\nAUTH\t1\tLOGIN\tservice=x\n'],
    ['parameters after resp=', 'VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\tresp=AAAA\tservice=x\n'],
    ['AUTH without service', 'VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\n'],
    ['a line of more than 16384 octets', `VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\tservice=${'x'.repeat(16_384)}\n`],
    ['16385 octets without a line end', 'x'.repeat(16_385)],
  ] as const) {
    it(`cuts off a client that sends ${title}`, async (t) => {
      const wire = createFixture(t).client();
      wire.send(text);
      assert.equal(wire.isEnded, true);
    });
  }

  it('reads a line of exactly 16384 octets', async (t) => {
    const wire = createFixture(t).client();
    await wire.take(greetingLines);
    const head = 'AUTH\t1\tPLAIN\tservice=smtp\tclient_id=';
    const tail = `\tresp=${plainResponse('bob', 'secret')}\n`;
    wire.send(`VERSION\t1\t1\nCPID\t1\n${head}${'x'.repeat(16_384 - head.length - tail.length)}${tail}`);
    assert.deepEqual(await wire.take(), ['OK\t1\tuser=bob']);
  });

  it('answers bad base64 and unknown mechanisms with a code', async (t) => {
    const wire = createFixture(t).client();
    await wire.take(greetingLines);
    wire.send('VERSION\t1\t1\nCPID\t1\nAUTH\t1\tPLAIN\tservice=smtp\tresp=***\nAUTH\t2\tNOPE\tservice=smtp\n');
    assert.deepEqual(await wire.take(2), [
      'FAIL\t1\treason=Invalid base64 data in initial response\tcode=invalid_base64',
      'FAIL\t2\treason=Unsupported authentication mechanism.\tcode=auth_mech_invalid',
    ]);
  });

  it('is the same when every octet comes alone', async (t) => {
    const wire = createFixture(t).client();
    await wire.take(greetingLines);
    for (const octet of `VERSION\t1\t1\nCPID\t815\nAUTH\t1\tPLAIN\tservice=smtp\tresp=${plainResponse('bob', 'secret')}\n`)
      wire.send(octet);
    assert.deepEqual(await wire.take(), ['OK\t1\tuser=bob']);
  });
});

describe('auth penalty', () => {
  it('delays the next try of an address, rises with failures, and is skipped with no-penalty', async (t) => {
    const values = new Map<string, { value: number; lastSeconds: number }>();
    const fixture = createFixture(t, {
      penaltyStore: {
        penalty: async (address) => values.get(address) ?? { value: 0, lastSeconds: 0 },
        setPenalty: (address, _checksum, value) => values.set(address, { value, lastSeconds: 1_700_000_000 }),
      },
    });
    const wire = fixture.client();
    await wire.take(greetingLines);
    wire.send('VERSION\t1\t1\nCPID\t1\n');
    const tryWrong = (id: number, extra = ''): void =>
      wire.send(`AUTH\t${id}\tPLAIN\tservice=imap\trip=10.0.0.9${extra}\tresp=${plainResponse('bob', `no${id}`)}\n`);
    tryWrong(1);
    await wire.take();
    assert.equal(values.get('10.0.0.9')?.value, 1);
    tryWrong(2);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(
      fixture.timers.map(({ ms }) => ms),
      [150_000, 4000],
    );
    fixture.timers[1]?.then();
    await wire.take();
    assert.equal(values.get('10.0.0.9')?.value, 2);
    tryWrong(3, '\tno-penalty');
    assert.deepEqual(await wire.take(), ['FAIL\t3\tuser=bob']);
    assert.equal(values.get('10.0.0.9')?.value, 2);
  });
});

describe('auth protocols under random input', () => {
  const word = fc.oneof(
    fc.constantFrom(
      'AUTH',
      'CONT',
      'CANCEL',
      'VERSION',
      'CPID',
      'USER',
      'PASS',
      'LIST',
      'REQUEST',
      'CACHE-FLUSH',
      'PLAIN',
      'LOGIN',
      '1',
      '2',
      'service=x',
      'resp=',
      'resp=AAAA',
    ),
    fc.string({ unit: 'binary', maxLength: 12 }),
  );
  const line = fc.array(word, { maxLength: 6 }).map((words) => `${words.join('\t')}\n`);
  it('never throw, never accept, and answer in whole lines', async (t) => {
    const fixture = createFixture(t);
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 20 }), fc.boolean(), async (lines, isMaster) => {
        const wire = isMaster ? fixture.master() : fixture.client(true);
        wire.send('VERSION\t1\t1\n');
        if (!isMaster) wire.send('CPID\t1\n');
        for (const text of lines) wire.send(text);
        await new Promise((resolve) => setImmediate(resolve));
        for (const reply of wire.drain()) assert.ok(isMaster || !reply.startsWith('OK'), reply);
        wire.close();
      }),
      { numRuns: 200 },
    );
  });
});
