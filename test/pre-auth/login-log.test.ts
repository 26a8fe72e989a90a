import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { disconnectReason } from '#pre-auth/disconnect-reason.js';
import { forwardedPeer } from '#pre-auth/forwarded-peer.js';
import { LoginLogFormat } from '#pre-auth/login-log.js';
import { idReply } from '#pre-auth/offer.js';
import { makeSessionId } from '#pre-auth/session-id.js';

const peer = {
  remoteIp: '192.0.2.1',
  remotePort: 5,
  localIp: '192.0.2.2',
  localPort: 143,
  tls: undefined,
  isSecured: false,
  isTrusted: false,
};
const tls = { protocol: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', bits: 256, serverName: 'mail.example.org', certUsername: undefined };
const facts = {
  user: 'bob@example.org',
  method: 'PLAIN',
  peer,
  sessionId: 'abc',
  service: 'imap',
  mailPid: 77,
  authUser: '',
  listener: 'imap',
};
const elements = ['user=<%u>', 'method=%m', 'rip=%r', 'lip=%l', 'mpid=%e', '%c', 'session=<%{session}>'];

describe('login log line', () => {
  for (const [format, parts, changes, expected] of [
    ['%$: %s', elements, {}, 'Login: user=<bob@example.org>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=77, session=<abc>'],
    [
      '%$: %s',
      elements,
      { peer: { ...peer, tls } },
      'Login: user=<bob@example.org>, method=PLAIN, rip=192.0.2.1, lip=192.0.2.2, mpid=77, TLS, session=<abc>',
    ],
    ['%$: %s', elements, { user: '', method: '', mailPid: undefined }, 'Login: user=<>, rip=192.0.2.1, lip=192.0.2.2, session=<abc>'],
    [
      '[%s] %$ 100%%',
      ['%n', '%d', '%a', '%b', '%{local_name}', '%k'],
      { peer: { ...peer, tls } },
      '[bob, example.org, 143, 5, mail.example.org, TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)] Login 100%',
    ],
    ['%s', ['user=<%u>'], { user: 'a\r\nLogin: user=<root>' }, 'user=<a??Login: user=<root>>'],
  ] as const) {
    it(expected, () => assert.equal(new LoginLogFormat(format, parts).format('Login', { ...facts, ...changes }), expected));
  }
});

describe('reason of a disconnection', () => {
  const record = {
    startedAtMs: 0,
    attempts: 0,
    firstAttemptAtMs: 1000,
    successes: 0,
    lastFailure: undefined,
    lastNote: undefined,
    phase: 'idle',
    phaseSinceMs: 2000,
  } as const;
  for (const [changes, expected] of [
    [{}, 'no auth attempts in 9 secs'],
    [{ phase: 'waiting-for-auth' }, 'disconnected before auth was ready, waited 7 secs'],
    [{ phase: 'in-exchange' }, "client didn't finish SASL auth, waited 7 secs"],
    [{ phase: 'authenticating' }, 'disconnected while authenticating, waited 7 secs'],
    [{ phase: 'finishing' }, 'disconnected while finishing login, waited 7 secs'],
    [{ attempts: 3, lastFailure: 'mismatch' }, 'auth failed, 3 attempts in 8 secs'],
    [{ attempts: 1, lastFailure: 'authz_fail' }, 'authorization failed, 1 attempts in 8 secs'],
    [{ attempts: 1, lastFailure: 'temp_fail' }, 'auth service reported temporary failure'],
    [{ attempts: 1, lastFailure: 'user_disabled' }, 'user disabled'],
    [{ attempts: 1, lastFailure: 'pass_expired' }, 'password expired'],
    [{ attempts: 1, lastNote: 'aborted' }, 'aborted authentication'],
    [{ attempts: 1, lastNote: 'plaintext-refused' }, 'tried to use disallowed plaintext auth'],
    [{ attempts: 1, lastNote: 'mechanism-refused' }, 'tried to use unsupported auth mechanism'],
    [{ attempts: 1, lastNote: 'bad-base64' }, 'sent invalid base64 in response'],
    [{ successes: 1 }, 'internal failure, 1 successful auths'],
  ] as const) {
    it(expected, () => assert.equal(disconnectReason({ ...record, ...changes }, 9000), expected));
  }
});

describe('session id', () => {
  it('holds time, port and address in base64 without padding', () => {
    const id = makeSessionId('192.0.2.1', 0x1234, 0x0102_0304_0506);
    assert.equal(Buffer.from(id, 'base64').toString('hex'), '0605040302013412c0000201');
    assert.ok(!id.includes('='));
    const six = makeSessionId('2001:db8::1', 1, 0);
    assert.equal(Buffer.from(six, 'base64').subarray(8).toString('hex'), '20010db8000000000000000000000001');
  });
});

describe('ID', () => {
  for (const [setting, expected] of [
    ['name *', '("name" "Roost")'],
    ['name * vendor "x', '("name" "Roost" "vendor" "\\"x")'],
    ['', 'NIL'],
    ['version *', 'NIL'],
  ] as const) {
    it(`imap_id_send = ${setting} gives ${expected}`, () => assert.equal(idReply(setting), expected));
  }
  it('changes the address for trusted networks only, and takes only addresses', () => {
    const fields = [
      ['x-originating-ip', '198.51.100.1'],
      ['x-originating-port', '70000'],
      ['x-connected-ip', 'nonsense'],
    ] as const;
    assert.deepEqual(forwardedPeer(peer, fields), peer);
    assert.deepEqual(forwardedPeer({ ...peer, isTrusted: true }, fields), { ...peer, isTrusted: true, remoteIp: '198.51.100.1' });
  });
});
