import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HandoffRequest } from '#ipc/peer.js';
import { refuseOverUserLimit } from '#pre-auth/user-limit.js';
import type { ServiceContext } from '#service-kit/role.js';

const peer = {
  remoteIp: '192.0.2.1',
  remotePort: 1,
  localIp: '192.0.2.2',
  localPort: 143,
  tls: undefined,
  isSecured: true,
  isTrusted: false,
};
const request: HandoffRequest = {
  service: 'imap',
  user: 'anna',
  authPid: 1,
  authId: 1,
  cookie: '',
  loginPid: 1,
  sessionId: 's',
  peer,
  fields: {},
};

/** @param counts what anvil answers, one after the other */
async function ask(limit: number, counts: number[]): Promise<{ readonly isRefused: boolean; readonly left: number }> {
  const settings = { get: () => ({ mail_max_userip_connections: limit }), forConnection: () => settings };
  const context = { settings, anvil: { lookup: async () => counts.shift() ?? 0 } } as unknown as Pick<ServiceContext, 'settings' | 'anvil'>;
  const refusal = await refuseOverUserLimit(context, request);
  return { isRefused: refusal !== undefined, left: counts.length };
}

describe('mail_max_userip_connections', () => {
  it('lets in below the limit, with one question', async () => {
    assert.deepEqual(await ask(2, [1, 9]), { isRefused: false, left: 1 });
  });

  it('asks nobody where there is no limit', async () => {
    assert.deepEqual(await ask(0, [9]), { isRefused: false, left: 1 });
  });

  it('looks again at the limit, as a session that has just ended is counted for a moment', async () => {
    assert.deepEqual(await ask(2, [2, 1, 9]), { isRefused: false, left: 1 });
  });

  it('refuses who is at the limit still', async () => {
    assert.deepEqual(await ask(2, [2, 2, 0]), { isRefused: true, left: 1 });
  });
});
