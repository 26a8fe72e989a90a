import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HandoffRequest } from '#ipc/peer.js';
import { type Route, RouteLeases } from '#service-kit/route-leases.js';

const request = (user: string, fields: Readonly<Record<string, string>> = {}, service = 'imap'): HandoffRequest => ({
  service,
  user,
  authPid: 1,
  authId: 1,
  cookie: '',
  loginPid: 1,
  claim: undefined,
  sessionId: '',
  peer: { remoteIp: '', remotePort: 0, localIp: '', localPort: 0, tls: undefined, isSecured: true, isTrusted: false },
  origin: undefined,
  fields,
});
const route = (ticket: number, leaseMs: number | undefined = 1_000): Route => ({
  kind: 'routed',
  id: 1,
  outcome: 'ok',
  path: '/p',
  descriptorPath: '/d',
  pid: 7,
  ticket,
  leaseMs,
});

describe('Leases of routes', () => {
  it('hold for the user until they end, counted from the question', () => {
    const leases = new RouteLeases();
    leases.keep(request('anna'), route(1), 5_000);
    assert.equal(leases.find(request('anna'), 5_999)?.ticket, 1);
    assert.equal(leases.find(request('anna'), 6_000), undefined);
  });

  for (const [what, other] of [
    ['user', request('berta')],
    ['service', request('anna', {}, 'pop3')],
    ['uid', request('anna', { roost_uid: '7' })],
    ['gid', request('anna', { roost_gid: '7' })],
  ] as const)
    it(`do not hold for another ${what}`, () => {
      const leases = new RouteLeases();
      leases.keep(request('anna'), route(1), 0);
      assert.equal(leases.find(other, 1), undefined);
    });

  it('are not kept of an answer that holds once', () => {
    const leases = new RouteLeases();
    leases.keep(request('anna'), { ...route(1), leaseMs: undefined }, 0);
    assert.equal(leases.find(request('anna'), 1), undefined);
  });

  it('are forgotten with the route that failed, not with a later one', () => {
    const leases = new RouteLeases();
    const first = route(1);
    leases.keep(request('anna'), first, 0);
    leases.keep(request('anna'), route(2), 10);
    leases.forget(request('anna'), first);
    const second = leases.find(request('anna'), 20);
    assert.equal(second?.ticket, 2);
    leases.forget(request('anna'), second ?? first);
    assert.equal(leases.find(request('anna'), 20), undefined);
  });

  it('are at most a thousand: the oldest goes', () => {
    const leases = new RouteLeases();
    for (let user = 0; user <= 1_000; user += 1) leases.keep(request(`u${user}`), route(user), 0);
    assert.equal(leases.find(request('u0'), 1), undefined);
    assert.equal(leases.find(request('u1'), 1)?.ticket, 1);
  });
});
