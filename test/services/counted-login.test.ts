// A client is told of its login when anvil counts it: before that it could log in again past mail_max_userip_connections.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { ClaimSealer } from '#auth/claim-token.js';
import type { HandoffRequest } from '#ipc/peer.js';
import { silentLogger } from '#log/logger.js';
import { Handed } from '#service-kit/handed.js';
import type { ClientHandle, HandedConnection, ServiceContext } from '#service-kit/role.js';
import { role as imap } from '#services/imap/main.js';
import { role as pop3 } from '#services/pop3/main.js';
import { settingsFrom } from '../storage/support/store-world.js';
import { streamPair } from '../support/stream-pair.js';

const peer = {
  remoteIp: '192.0.2.1',
  remotePort: 1,
  localIp: '192.0.2.2',
  localPort: 2,
  tls: undefined,
  isSecured: true,
  isTrusted: false,
};

for (const role of [imap, pop3]) {
  it(`${role.name} waits for anvil's count before it tells of a login`, async (test) => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-counted-'));
    mkdirSync(join(folder, 'home'));
    const secret = randomBytes(32);
    let count = (): void => undefined;
    let onAsked = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      onAsked = resolve;
    });
    const counting = new Promise<void>((resolve) => {
      count = resolve;
    });
    let handler: ((handed: HandedConnection) => ClientHandle) | undefined;
    const context = {
      service: role.name,
      log: silentLogger,
      settings: settingsFrom(folder, 'mail_location = maildir:~/Maildir\n', role),
      baseDir: folder,
      clientLimit: 1,
      hasInetListeners: false,
      claimKeys: { secret: secret.toString('base64') },
      mayServe: () => true,
      canPassOn: () => false,
      titleChanged: () => undefined,
      count: () => undefined,
      addTotals: () => undefined,
      onReload: () => undefined,
      onConnection: () => undefined,
      onHandoff: (given: typeof handler) => {
        handler = given;
      },
      anvil: {
        connect: () => () => undefined,
        get counting() {
          onAsked();
          return counting;
        },
      },
    } as unknown as ServiceContext;
    const stop = await role.start(context);
    const [client, server] = streamPair();
    const facts = { user: 'anna', service: role.name, loginPid: 1, authId: 1, sessionId: 's1' };
    const request: HandoffRequest = {
      ...facts,
      authPid: 1,
      cookie: '',
      claim: new ClaimSealer(secret).seal({ ...facts, fields: { home: join(folder, 'home') }, untilMs: Date.now() + 60_000 }),
      peer,
      fields: { tag: 'a' },
    };
    let told = '';
    client.on('data', (chunk: Buffer) => (told += chunk.toString('latin1')));
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    test.after(async () => {
      client.destroy();
      await released;
      await stop();
      rmSync(folder, { recursive: true });
    });
    handler?.(new Handed(server, request, release));
    await Promise.race([asked, once(client, 'data')]);
    for (let turns = 0; turns < 50; turns += 1) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(told, '');
    const reply = once(client, 'data');
    count();
    await reply;
    assert.match(told, role === imap ? /^a OK / : /^\+OK Logged in\./);
  });
}
