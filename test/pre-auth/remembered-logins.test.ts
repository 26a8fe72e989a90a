import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AuthClient, AuthRequest, AuthStep, UserFields } from '#auth/client.js';
import type { Peer } from '#ipc/peer.js';
import { RememberedLogins } from '#pre-auth/remembered-logins.js';

const peer: Peer = {
  remoteIp: '192.0.2.1',
  remotePort: 4000,
  localIp: '192.0.2.9',
  localPort: 143,
  tls: undefined,
  isSecured: true,
  isTrusted: false,
};
const request: AuthRequest = { mechanism: 'PLAIN', service: 'imap', peer, sessionId: 'one', initialResponse: Buffer.from('\0anna\0pwd') };
const anna: UserFields = { user: 'anna', fields: { home: '/home/anna' } };

/** Auth that accepts everybody, and counts. */
function world(keepMs: number | undefined = 1_000) {
  const state = { asked: 0, nowMs: 50_000 };
  const step = (): AuthStep => {
    state.asked += 1;
    return { kind: 'ok', user: 'anna', authId: state.asked, authPid: 7, cookie: 'c', finalData: undefined, fields: {}, keepMs };
  };
  const auth: AuthClient = {
    mechanisms: () => Promise.resolve([]),
    begin: () => ({ next: () => Promise.resolve(step()), respond: () => Promise.resolve(step()), cancel: () => undefined }),
    close: () => undefined,
  };
  const logins = new RememberedLogins(() => state.nowMs);
  const client = logins.wrap(auth);
  /** @returns the user when nobody had to be asked */
  const logIn = async (wanted: AuthRequest = request): Promise<UserFields | undefined> => {
    const given = await client.begin(wanted).next();
    assert.equal(given.kind, 'ok');
    if (given.kind !== 'ok') return undefined;
    const known = logins.userOf(given);
    logins.keep(given, known ?? anna);
    return known;
  };
  return { state, logIn, client, logins };
}

describe('logins that succeeded a moment ago', () => {
  it('are not asked about again', async () => {
    const { state, logIn } = world();
    assert.equal(await logIn(), undefined);
    assert.deepEqual(await logIn(), anna);
    assert.deepEqual(await logIn({ ...request, sessionId: 'two', peer: { ...peer, remotePort: 4001 } }), anna);
    assert.equal(state.asked, 1);
  });

  it('are forgotten when the time that auth named is over, however often they were used', async () => {
    const { state, logIn } = world(1_000);
    await logIn();
    state.nowMs += 999;
    assert.deepEqual(await logIn(), anna);
    state.nowMs += 1;
    assert.equal(await logIn(), undefined);
    assert.equal(state.asked, 2);
  });

  it('keep their user when another login takes their place before they go on', async () => {
    const { client, logins } = world();
    const first = await client.begin(request).next();
    const second = await client.begin(request).next();
    if (first.kind !== 'ok' || second.kind !== 'ok') return assert.fail('refused');
    logins.keep(first, anna);
    const taken = await client.begin(request).next();
    assert.equal(taken, first);
    logins.keep(second, anna);
    assert.deepEqual(logins.userOf(first), anna);
  });

  for (const keepMs of [undefined, 0]) {
    it(`are not remembered when auth says ${keepMs}`, async () => {
      const { state, logIn } = world(keepMs ?? 0);
      await logIn();
      await logIn();
      assert.equal(state.asked, 2);
    });
  }

  const others: readonly (readonly [string, AuthRequest])[] = [
    ['another password', { ...request, initialResponse: Buffer.from('\0anna\0pwd2') }],
    ['another user', { ...request, initialResponse: Buffer.from('\0bob\0pwd') }],
    ['another service', { ...request, service: 'pop3' }],
    ['another address', { ...request, peer: { ...peer, remoteIp: '192.0.2.2' } }],
    ['another local address', { ...request, peer: { ...peer, localIp: '192.0.2.8' } }],
    ['an insecure connection', { ...request, peer: { ...peer, isSecured: false } }],
    [
      'a certificate',
      { ...request, peer: { ...peer, tls: { protocol: 'TLSv1.3', cipher: 'x', bits: 256, serverName: '', certUsername: 'anna' } } },
    ],
    ['a mechanism of several steps', { ...request, mechanism: 'LOGIN' }],
    ['a response that is yet to come', { ...request, initialResponse: undefined }],
  ];
  for (const [what, other] of others) {
    it(`say nothing about ${what}`, async () => {
      const { state, logIn } = world();
      await logIn();
      assert.equal(await logIn(other), undefined);
      assert.equal(state.asked, 2);
    });
  }

  describe('in a login process', () => {
    const sealed = (claimAgain: string | undefined) => {
      const auth = world();
      const state = { asked: 0 };
      const client = auth.logins.wrap({
        mechanisms: () => Promise.resolve([]),
        begin: () => {
          state.asked += 1;
          const step: AuthStep = {
            kind: 'ok',
            user: 'anna',
            authId: state.asked,
            authPid: 7,
            cookie: 'c',
            finalData: undefined,
            fields: { roost_uid: '7' },
            keepMs: 1_000,
            claim: `once ${state.asked}`,
            claimAgain,
          };
          return { next: () => Promise.resolve(step), respond: () => Promise.resolve(step), cancel: () => undefined };
        },
        close: () => undefined,
      });
      const logIn = async (): Promise<readonly [claim: string | undefined, fields: unknown]> => {
        const step = await client.begin(request).next();
        if (step.kind !== 'ok') return assert.fail('refused');
        auth.logins.keepSealed(step);
        return [step.claim, step.fields];
      };
      return { auth, state, logIn };
    };

    it('get the seal that was made for them, as long as auth allows it', async () => {
      const { auth, state, logIn } = sealed('again');
      const fields = { roost_uid: '7' };
      assert.deepEqual(await logIn(), ['once 1', fields]);
      for (const _ of [2, 3]) assert.deepEqual(await logIn(), ['again', fields]);
      auth.state.nowMs += 1_000;
      assert.deepEqual(await logIn(), ['once 2', fields]);
      assert.equal(state.asked, 2);
    });

    it('are not remembered without one', async () => {
      const { state, logIn } = sealed(undefined);
      await logIn();
      await logIn();
      assert.equal(state.asked, 2);
    });
  });

  it('are at most ten thousand', async () => {
    const { state, logIn } = world();
    const nth = (number: number): AuthRequest => ({ ...request, initialResponse: Buffer.from(`\0user${number}\0pwd`) });
    for (let number = 0; number <= 10_000; number += 1) await logIn(nth(number));
    const { asked } = state;
    assert.deepEqual(await logIn(nth(10_000)), anna);
    assert.equal(state.asked, asked);
    assert.equal(await logIn(nth(0)), undefined);
  });
});
