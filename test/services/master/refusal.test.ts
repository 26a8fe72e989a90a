import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { ListeningSockets } from '#ipc/listening-socket.js';
import type { ListenerPlan, RefusalProtocol } from '#services/master/plan.js';
import { refusePending } from '#services/master/refusal.js';

const sockets = new ListeningSockets();

/** What a client hears that is refused. */
async function refused(protocol: RefusalProtocol, isTls: boolean): Promise<string> {
  const fd = sockets.listenInet('127.0.0.1', 0, { backlog: 8 });
  const client = connect(sockets.portOf(fd), '127.0.0.1');
  await new Promise((resolve) => client.once('connect', resolve));
  const plan: ListenerPlan = {
    key: '',
    kind: 'inet',
    name: '',
    isTls,
    isHaproxy: false,
    isReusePort: false,
    keepAliveMs: 0,
    address: '127.0.0.1',
    port: 0,
    backlog: 8,
    mode: 0,
    uid: undefined,
    gid: undefined,
    setting: '',
  };
  assert.equal(refusePending(sockets, [{ plan, fd }], protocol), 1);
  assert.equal(refusePending(sockets, [{ plan, fd }], protocol), 0);
  let text = '';
  for await (const chunk of client) text += String(chunk);
  sockets.close(fd);
  return text;
}

describe('A connection that no process can take', () => {
  for (const [protocol, isTls, expected] of [
    ['imap', false, '* BYE [UNAVAILABLE] Too many connections, try again later.\r\n'],
    ['pop3', false, '-ERR [SYS/TEMP] Too many connections, try again later.\r\n'],
    ['smtp', false, '421 4.3.2 Too many connections, try again later.\r\n'],
    ['imap', true, ''],
    [undefined, false, ''],
  ] as const) {
    it(`hears ${JSON.stringify(expected)} from ${protocol ?? 'an internal service'}${isTls ? ' over TLS' : ''}`, async () => {
      assert.equal(await refused(protocol, isTls), expected);
    });
  }
});
