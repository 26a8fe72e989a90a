import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { imapLoginRole, pop3LoginRole } from '#services/login/main.js';
import { talkOver } from '../../support/socket-pair.js';
import { type LineClient, startLogin } from './fixture.js';

const greeting =
  '* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ AUTH=PLAIN AUTH=LOGIN AUTH=CRAM-MD5 AUTH=SCRAM-SHA-256] Roost ready.';

async function end(client: LineClient): Promise<void> {
  while ((await client.line()) !== undefined);
  client.socket.destroy();
}

describe('imap-login', () => {
  it('logs a client in and hands it over with tag, uid and what it sent ahead', async (t) => {
    const world = await startLogin(t, imapLoginRole);
    const client = await world.connect();
    assert.equal(await client.line(), greeting);
    client.send('a CAPABILITY\r\n');
    await client.line();
    await client.line();
    client.send('b LOGIN bob secret\r\nc SELECT INBOX\r\n');
    assert.equal(await client.line(), 'handed over');
    const [handed] = world.handedOver;
    assert.equal(handed?.buffered, 'c SELECT INBOX\r\n');
    assert.deepEqual(handed?.request.fields, { tag: 'b', capability: 'asked', roost_uid: '1000', roost_gid: '1001' });
    assert.equal(handed?.request.user, 'bob');
    assert.equal(handed?.request.loginPid, process.pid);
    assert.match(handed?.request.cookie ?? '', /^[0-9a-f]{32}$/);
    assert.equal(world.handles[0]?.isPreAuth, false);
    assert.match(
      world.log.join('\n'),
      /^Login: user=<bob>, method=PLAIN, rip=10\.0\.0\.9, lip=10\.0\.0\.2, mpid=1234, secured, session=<[A-Za-z0-9+/]+>$/,
    );
    const { loginPid, authId, cookie } = handed?.request ?? { loginPid: 0, authId: 0, cookie: '' };
    assert.equal(world.auth.authenticator.finished.claim({ loginPid, authId, cookie })?.fields.get('home'), '/home/bob');
    client.socket.destroy();
  });

  it('lets a client try again after a failure and says in the log how often it tried', async (t) => {
    const world = await startLogin(t, imapLoginRole);
    const client = await world.connect();
    await client.line();
    client.send('a LOGIN bob wrong\r\nb AUTHENTICATE PLAIN\r\n');
    assert.equal(await client.line(), 'a NO [AUTHENTICATIONFAILED] Authentication failed.');
    assert.equal(await client.line(), '+ ');
    client.send(`${Buffer.from('\0bob\0wrong').toString('base64')}\r\n`);
    assert.equal(await client.line(), 'b NO [AUTHENTICATIONFAILED] Authentication failed.');
    client.send('c LOGOUT\r\n');
    assert.equal(await client.line(), '* BYE Logging out');
    assert.equal(await client.line(), 'c OK Logout completed.');
    await end(client);
    assert.match(
      world.log.join('\n'),
      /^Aborted login by logging out \(auth failed, 2 attempts in \d secs\): user=<bob>, method=PLAIN, rip=10\.0\.0\.9, lip=10\.0\.0\.2, secured, session=</,
    );
  });

  it('says no attempts for a client that just goes', async (t) => {
    const world = await startLogin(t, imapLoginRole);
    const client = await world.connect();
    await client.line();
    client.socket.end();
    await end(client);
    while (world.released === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.match(
      world.log.join('\n'),
      /^Disconnected: Connection closed \(no auth attempts in 0 secs\): user=<>, rip=10\.0\.0\.9, lip=10\.0\.0\.2, secured, session=</,
    );
  });

  it('refuses passwords in the clear from outside', async (t) => {
    const world = await startLogin(t, imapLoginRole, { peer: { isSecured: false } });
    const client = await world.connect();
    assert.match((await client.line()) ?? '', /LOGINDISABLED/);
    client.send('a LOGIN bob secret\r\n');
    assert.match((await client.line()) ?? '', /^\* BAD \[ALERT\] Plaintext/);
    assert.match((await client.line()) ?? '', /^a NO \[PRIVACYREQUIRED\] Plaintext/);
    client.send('b LOGOUT\r\n');
    await end(client);
    assert.match(world.log.join('\n'), /\(tried to use disallowed plaintext auth\): user=<>/);
    assert.equal(world.handedOver.length, 0);
  });

  it('refuses a user with too many connections from one address, and names the limit', async (t) => {
    const world = await startLogin(t, imapLoginRole, { sessions: 3, login: { mail_max_userip_connections: 3 } });
    const client = await world.connect();
    await client.line();
    client.send('a LOGIN bob secret\r\n');
    assert.equal(
      await client.line(),
      'a NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=3)',
    );
    assert.equal(await client.line(), undefined);
    assert.match(
      world.log.join('\n'),
      /^Maximum number of connections from user\+IP exceeded \(mail_max_userip_connections=3\): user=<bob>, method=PLAIN, rip=10\.0\.0\.9/,
    );
    assert.equal(world.handedOver.length, 0);
  });

  for (const [outcome, first] of [
    [{ kind: 'full', reason: 'process_limit reached' }, '* BYE [UNAVAILABLE] Server is busy, all processes are in use. Try again later.'],
    [{ kind: 'failed', reason: 'broken' }, '* BYE [UNAVAILABLE] Internal login failure. Refer to server log for more information.'],
  ] as const) {
    it(`tells the client when the hand-off is ${outcome.kind}`, async (t) => {
      const world = await startLogin(t, imapLoginRole, { handOff: async () => outcome });
      const client = await world.connect();
      await client.line();
      client.send('a LOGIN bob secret\r\n');
      assert.equal(await client.line(), first);
      assert.match((await client.line()) ?? '', /^a NO \[UNAVAILABLE\] /);
      assert.equal(await client.line(), undefined);
      while (world.released === 0) await new Promise((resolve) => setImmediate(resolve));
      assert.equal(world.released, 1);
      assert.match(world.log.join('\n'), /\(internal failure, 1 successful auths\): user=<bob>/);
    });
  }

  for (const [reason, text] of [
    ['queue-full', '* BYE Connection queue full'],
    ['shutdown', '* BYE [UNAVAILABLE] Server shutting down.'],
    ['kicked', '* BYE [UNAVAILABLE] Disconnected by the administrator.'],
  ] as const) {
    it(`says goodbye when stopped because of ${reason}`, async (t) => {
      const world = await startLogin(t, imapLoginRole);
      const client = await world.connect();
      await client.line();
      world.handles[0]?.stop(reason);
      assert.equal(await client.line(), text);
      assert.equal(await client.line(), undefined);
    });
  }

  it('says goodbye when the server stops before it is handed over', async (t) => {
    let fail = (): void => undefined;
    const world = await startLogin(t, imapLoginRole, {
      handOff: () =>
        new Promise((resolve) => {
          fail = () => resolve({ kind: 'failed', reason: 'the master is gone' });
        }),
    });
    const client = await world.connect();
    await client.line();
    client.send('a LOGIN bob secret\r\n');
    while (world.handedOver.length === 0) await new Promise((resolve) => setImmediate(resolve));
    world.handles[0]?.stop('shutdown');
    fail();
    assert.equal(await client.line(), '* BYE [UNAVAILABLE] Server shutting down.');
    assert.equal(await client.line(), undefined);
  });

  it('refuses STARTTLS when there is no certificate, and ends after three bad commands', async (t) => {
    const world = await startLogin(t, imapLoginRole);
    const client = await world.connect();
    await client.line();
    client.send('a STARTTLS\r\nb X\r\nc Y\r\n');
    assert.equal(await client.line(), "a BAD TLS support isn't enabled.");
    assert.equal(await client.line(), 'b BAD Error in IMAP command received by server.');
    assert.equal(await client.line(), 'c BAD Error in IMAP command received by server.');
    assert.equal(await client.line(), '* BYE Too many invalid IMAP commands.');
    assert.equal(await client.line(), undefined);
  });

  it('believes a trusted proxy about the address of its client', async (t) => {
    const world = await startLogin(t, imapLoginRole, { peer: { isTrusted: true } });
    const client = await world.connect();
    await client.line();
    client.send('a ID ("x-originating-ip" "192.0.2.7" "x-originating-port" "99")\r\nb LOGIN bob secret\r\n');
    await client.line();
    await client.line();
    assert.equal(await client.line(), 'handed over');
    assert.equal(world.handedOver[0]?.request.peer.remoteIp, '192.0.2.7');
    assert.equal(world.handedOver[0]?.request.peer.remotePort, 99);
    client.socket.destroy();
  });
});

describe('login and TLS', () => {
  const tlsFacts = {
    protocol: 'TLSv1.3',
    cipher: 'TLS_AES_256_GCM_SHA384',
    bits: 256,
    serverName: 'mail.example.org',
    certUsername: undefined,
  };
  const certificate = { tls: { ssl_cert: 'PEM' }, peer: { isSecured: false } } as const;

  it('offers everything after STARTTLS, and forgets what was asked before', async (t) => {
    const world = await startLogin(t, imapLoginRole, {
      ...certificate,
      startTls: async ({ socket, peer }, buffered) => {
        assert.equal(buffered.length, 0);
        return { stream: socket, peer: { ...peer, tls: tlsFacts, isSecured: true } };
      },
    });
    const client = await world.connect();
    assert.match((await client.line()) ?? '', / STARTTLS LOGINDISABLED /);
    client.send('a CAPABILITY\r\n');
    await client.line();
    await client.line();
    client.send('b STARTTLS\r\n');
    assert.equal(await client.line(), 'b OK Begin TLS negotiation now.');
    client.send('c LOGIN bob secret\r\n');
    assert.equal(await client.line(), 'handed over');
    const [handed] = world.handedOver;
    assert.equal(handed?.request.peer.tls?.serverName, 'mail.example.org');
    assert.equal(handed?.request.fields['capability'], '');
    assert.match(world.log.join('\n'), /mpid=1234, TLS, session=</);
    client.socket.destroy();
  });

  it('hands commands that came with STARTTLS to the handshake, which refuses them', async (t) => {
    let early = '';
    const world = await startLogin(t, imapLoginRole, {
      ...certificate,
      startTls: ({ socket }, buffered) => {
        early = buffered.toString();
        socket.destroy();
        return Promise.reject(new Error('plaintext was sent before the TLS handshake'));
      },
    });
    const client = await world.connect();
    await client.line();
    client.send('a STARTTLS\r\nb LOGIN bob secret\r\n');
    while (world.released === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(early, 'b LOGIN bob secret\r\n');
    assert.equal(world.handedOver.length, 0);
    assert.match(world.log.join('\n'), /^Disconnected: TLS handshaking: plaintext was sent before the TLS handshake/);
  });

  it('writes no goodbye in the clear into a handshake', async (t) => {
    const world = await startLogin(t, imapLoginRole, { ...certificate, isTlsListener: true, startTls: () => new Promise(() => undefined) });
    const client = await world.connect();
    while (world.handles.length === 0) await new Promise((resolve) => setImmediate(resolve));
    t.mock.timers.enable({ apis: ['setTimeout'] });
    world.handles[0]?.stop('shutdown');
    t.mock.timers.tick(4_499);
    assert.equal(world.released, 0);
    t.mock.timers.tick(1);
    assert.equal(await client.line(), undefined);
    assert.equal(world.released, 1);
  });

  it('says goodbye to a client that is logging in just then', async (t) => {
    const world = await startLogin(t, imapLoginRole);
    const client = await world.connect();
    await client.line();
    client.socket.removeAllListeners('data');
    const { heard, errors } = await talkOver(client.socket, () => world.handles[0]?.stop('shutdown'));
    assert.deepEqual([heard, errors], ['* BYE [UNAVAILABLE] Server shutting down.\r\n', []]);
    while (world.released === 0) await new Promise((resolve) => setImmediate(resolve));
  });

  it('says goodbye to a client that was in the handshake when the server was stopped, once it is over', async (t) => {
    let finish = (): void => undefined;
    const world = await startLogin(t, imapLoginRole, {
      ...certificate,
      isTlsListener: true,
      startTls: ({ socket, peer }) =>
        new Promise((resolve) => {
          finish = () => resolve({ stream: socket, peer });
        }),
    });
    const client = await world.connect();
    while (world.handles.length === 0) await new Promise((resolve) => setImmediate(resolve));
    world.handles[0]?.stop('shutdown');
    assert.equal(world.released, 0);
    finish();
    assert.equal(await client.line(), '* BYE [UNAVAILABLE] Server shutting down.');
    await end(client);
  });
});

describe('limits of a login session', () => {
  it('ends after 180 s without a command', async (t) => {
    const world = await startLogin(t, imapLoginRole);
    const tick = mockClock(t);
    const client = await world.connect();
    await client.line();
    tick(170_000);
    client.send('a NOOP\r\n');
    assert.equal(await client.line(), 'a OK NOOP completed.');
    tick(170_000);
    client.send('b AUTHENTICATE PLAIN\r\n');
    assert.equal(await client.line(), '+ ');
    tick(180_000);
    assert.equal(await client.line(), '* BYE Disconnected for inactivity during authentication.');
    assert.equal(await client.line(), undefined);
    assert.match(world.log.join('\n'), /^Disconnected: Inactivity \(client didn't finish SASL auth, waited \d+ secs\)/);
    t.mock.timers.reset();
  });

  it('ends after twenty failed logins', async (t) => {
    const world = await startLogin(t, imapLoginRole);
    const client = await world.connect();
    await client.line();
    client.send('a LOGIN bob wrong\r\n'.repeat(21));
    for (let count = 0; count < 20; count += 1) assert.match((await client.line()) ?? '', /^a NO \[AUTHENTICATIONFAILED\]/);
    assert.equal(await client.line(), '* BYE Too many failed authentications.');
    assert.equal(await client.line(), undefined);
  });

  it('says that it waits when auth does not answer for 30 s, and UNAVAILABLE when there is no auth', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const world = await startLogin(t, imapLoginRole, { isAuthDown: true });
    const client = await world.connect();
    while (world.handles.length === 0) await new Promise((resolve) => setImmediate(resolve));
    t.mock.timers.tick(30_000);
    assert.match((await client.line()) ?? '', /^\* BYE \[UNAVAILABLE\] Temporary authentication failure\. \[/);
    assert.equal(await client.line(), undefined);
    assert.match(world.log.join('\n'), /^Disconnected: Auth process broken \(disconnected before auth was ready, waited \d+ secs\)/);
    t.mock.timers.reset();
  });
});

describe('pop3-login', () => {
  it('logs in with USER and PASS', async (t) => {
    const world = await startLogin(t, pop3LoginRole);
    const client = await world.connect();
    assert.equal(await client.line(), '+OK Roost ready.');
    client.send('USER bob\r\nPASS secret\r\nSTAT\r\n');
    assert.equal(await client.line(), '+OK');
    assert.equal(await client.line(), 'handed over');
    assert.equal(world.handedOver[0]?.buffered, 'STAT\r\n');
    assert.equal(world.handedOver[0]?.request.service, 'pop3');
    client.socket.destroy();
  });

  it('says AUTH after a wrong password, and SYS/TEMP when auth has a problem', async (t) => {
    const world = await startLogin(t, pop3LoginRole, { passdbs: [{ driver: 'passwd-file', args: 'PATH.gone' }] });
    const client = await world.connect();
    await client.line();
    client.send('USER bob\r\nPASS secret\r\n');
    await client.line();
    assert.match(
      (await client.line()) ?? '',
      /^-ERR \[SYS\/TEMP\] Temporary authentication failure\. \[.+:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]$/,
    );
    client.socket.destroy();
  });
});

/** Both clocks that deadlines look at. @returns what lets time go by */
function mockClock(context: TestContext): (ms: number) => void {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  let passedMs = 0;
  const realNow = performance.now.bind(performance);
  context.mock.method(performance, 'now', () => realNow() + passedMs);
  return (ms) => {
    passedMs += ms;
    context.mock.timers.tick(ms);
  };
}
