// The server under systemd and with the system logger: sd_notify(3), sd_listen_fds(3), syslog(3).
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ListeningSockets } from '#ipc/listening-socket.js';
import { askMaster } from '#ipc/master-client.js';
import { DatagramSocket } from '../support/datagram-socket.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { startRoost } from '../support/running-roost.js';

function withFolder(): Disposable & { readonly path: (name: string) => string } {
  const folder = mkdtempSync(join(tmpdir(), 'roost-supervision-'));
  chmodSync(folder, 0o755);
  return { path: (name) => join(folder, name), [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

/** The greeting of whoever accepts. */
async function greeting(port: number): Promise<string | undefined> {
  const client = new LineClient(connect(port, '127.0.0.1'), 20_000);
  try {
    return await client.line();
  } finally {
    client.close();
  }
}

describe('Under systemd', () => {
  it('the server tells when it is ready, reloads and stops', async () => {
    using folder = withFolder();
    using manager = new DatagramSocket(folder.path('notify'));
    await using server = await startRoost({ protocols: ['imap'], environment: { NOTIFY_SOCKET: folder.path('notify') } });
    await manager.until(/^READY=1/);
    assert.match((await greeting(server.ports.imap)) ?? '', /^\* OK /);
    manager.received.length = 0;
    assert.equal((await server.admin(['reload'])).code, 0);
    // Type=notify-reload needs the time with it.
    await manager.until(/^RELOADING=1\nMONOTONIC_USEC=\d+$/);
    await manager.until(/^READY=1/);
    await server.stop();
    await manager.until(/^STOPPING=1/);
  });

  it('none of the variables meant for the server reach its processes', async () => {
    using folder = withFolder();
    using _manager = new DatagramSocket(folder.path('notify'));
    const environment = { NOTIFY_SOCKET: folder.path('notify') };
    await using server = await startRoost({ protocols: ['imap'], environment, settings: { import_environment: 'NOTIFY_SOCKET TZ' } });
    const reply = await askMaster(server.baseDir, { command: 'process-status', services: [] }, { timeoutMs: patienceMs });
    assert.ok(reply.ok && reply.processes !== undefined && reply.processes.length > 0);
    for (const { pid } of reply.processes) assert.doesNotMatch(readFileSync(`/proc/${pid}/environ`, 'utf8'), /NOTIFY_SOCKET/);
  });

  it('a socket that was opened before the server stays open while it restarts, and nobody is refused', async () => {
    const sockets = new ListeningSockets();
    const fd = sockets.listenInet('127.0.0.1', 0, { backlog: 64 });
    try {
      const imap = sockets.portOf(fd);
      const options = { protocols: ['imap'], sockets: [fd], ports: { imap } };
      // Without the socket the port would be in use.
      await assert.rejects(startRoost({ protocols: ['imap'], ports: { imap } }), /already in use/);
      const first = await startRoost(options);
      assert.match((await greeting(imap)) ?? '', /^\* OK /);
      await first.stop();
      const waiting = greeting(imap);
      await using _second = await startRoost(options);
      assert.match((await waiting) ?? '', /^\* OK /);
    } finally {
      sockets.close(fd);
    }
  });
});

describe('log_path = syslog', () => {
  it('sends lines of all processes with facility and level', async () => {
    using folder = withFolder();
    using logger = new DatagramSocket(folder.path('log'));
    const settings = { log_path: 'syslog', syslog_socket: folder.path('log'), syslog_facility: 'local3' };
    await using server = await startRoost({ protocols: ['imap'], settings });
    // 19 is local3, 6 is info, 4 is a warning.
    await logger.until(/^<158>\w{3} [ \d]\d \d\d:\d\d:\d\d roost\[\d+\]: master: Roost starting up for imap$/);
    const client = new LineClient(connect(server.ports.imap, '127.0.0.1'));
    await client.line();
    client.send('LOGIN alice secret');
    await logger.until(/^<158>.* roost\[\d+\]: imap-login: Login: user=<alice>/);
    client.close();
    await server.stop();
    await logger.until(/^<156>.*: master: Warning: Killed with signal 15/);
    assert.doesNotMatch(server.log, /Login: user/);
  });

  it('falls back to standard error where there is no logger, and says so', async () => {
    using folder = withFolder();
    const settings = { log_path: 'syslog', syslog_socket: folder.path('nothing') };
    await using server = await startRoost({ protocols: ['imap'], settings });
    await server.logged(/there is no system logger at .*nothing, standard error takes its place/);
  });
});
