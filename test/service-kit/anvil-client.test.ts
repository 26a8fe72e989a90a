// What a process says to anvil, and when: over a socket whose other end is the test.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { AnvilConnection } from '#service-kit/anvil-client.js';
import { until } from './fake-master.js';

const ignore = (): undefined => undefined;
const session = (sessionId: string) => ({ user: 'anna', remoteIp: '192.0.2.1', service: 'imap', sessionId });
const line = (verb: string, sessionId: string): string => `${verb}\t${process.pid}\timap/192.0.2.1/anna\t${sessionId}\n`;
const lookup = 'LOOKUP\timap/192.0.2.1/anna\n';
const greeting = 'VERSION\tanvil\t1\t0\n';

describe('What a process tells anvil of its sessions', () => {
  let folder: string;
  let server: Server;
  let anvil: AnvilConnection;
  let peer: Socket | undefined;
  let heard: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'roost-anvil-'));
    heard = '';
    peer = undefined;
    server = createServer((socket) => {
      peer = socket;
      socket.on('data', (chunk: Buffer) => {
        heard += chunk.toString('latin1');
      });
      socket.on('error', ignore);
    });
    await new Promise<void>((resolve) => server.listen(join(folder, 'anvil'), resolve));
    anvil = new AnvilConnection(join(folder, 'anvil'), silentLogger);
  });
  afterEach(async () => {
    anvil.close();
    peer?.destroy();
    await new Promise((resolve) => server.close(resolve));
    rmSync(folder, { recursive: true });
  });

  /** All that has been said by now, and not heard before. */
  const said = async (): Promise<string> => {
    anvil.setPenalty('192.0.2.9', 0, 1);
    const mark = 'PENALTY-INC\t192.0.2.9\t0\t1\n';
    await until(() => heard.endsWith(mark), 'the mark');
    const text = heard.slice(0, -mark.length);
    heard = '';
    return text;
  };

  it('says nothing of those that no limit counts and are over at once, but that there may be such', async () => {
    anvil.connect(session('s1'), ignore);
    assert.equal(await said(), `${greeting}${line('CONNECT', 's1')}${lookup}`);
    for (const sessionId of ['s2', 's3']) anvil.connect(session(sessionId), ignore, true)();
    assert.equal(await said(), 'LATER\n');
    anvil.connect(session('s4'), ignore)();
    assert.equal(await said(), line('CONNECT', 's4') + line('DISCONNECT', 's4'));
  });

  it('tells its first client of a login when anvil is known to count it', async () => {
    const isCounting = (): boolean => anvil.counting !== undefined;
    assert.equal(isCounting(), false);
    anvil.connect(session('s1'), ignore);
    let isCounted = false;
    const counting = anvil.counting?.then(() => {
      isCounted = true;
    });
    assert.ok(counting !== undefined);
    await until(() => heard.endsWith(lookup), 'the question');
    assert.equal(isCounted, false);
    peer?.write('1\n');
    await counting;
    assert.equal(isCounting(), false);
    anvil.connect(session('s2'), ignore);
    assert.equal(isCounting(), false);
  });

  it('waits no longer for an anvil that goes away', async () => {
    anvil.connect(session('s1'), ignore);
    const { counting } = anvil;
    await until(() => peer !== undefined, 'the connection');
    peer?.destroy();
    await counting;
    assert.equal(anvil.counting, undefined);
  });

  it('tells of those that last, and then of their end', async () => {
    anvil.connect(session('s1'), ignore);
    const leave = anvil.connect(session('s2'), ignore, true);
    await until(() => heard.includes(line('CONNECT', 's2')), 's2 is announced');
    leave();
    await until(() => heard.includes(line('DISCONNECT', 's2')), 'its end as well');
  });

  it('tells of all of them when it is asked', async () => {
    anvil.connect(session('s1'), ignore);
    await said();
    const leave = anvil.connect(session('s2'), ignore, true);
    anvil.connect(session('s3'), ignore, true);
    leave();
    peer?.write('TELL\t7\n');
    await until(() => heard.endsWith('TOLD\t7\n'), 'the answer');
    assert.equal(heard, `LATER\n${line('CONNECT', 's3')}TOLD\t7\n`);
  });

  it('kicks them before they are announced', () => {
    const kicked: string[] = [];
    anvil.connect(session('s1'), ignore);
    anvil.connect(session('s2'), () => kicked.push('s2'), true);
    assert.equal(anvil.kick(new Set(['s2'])), 1);
    assert.deepEqual(kicked, ['s2']);
  });

  it('announces them with all others to an anvil that was restarted', async () => {
    anvil.connect(session('s1'), ignore);
    await said();
    anvil.connect(session('s2'), ignore, true);
    assert.equal(await said(), 'LATER\n');
    const former = peer;
    former?.destroy();
    await until(() => peer !== former && heard.includes(line('CONNECT', 's2')), 'connected again');
    assert.equal(await said(), `${greeting}${line('CONNECT', 's1')}${line('CONNECT', 's2')}`);
    anvil.connect(session('s3'), ignore, true);
    assert.equal(await said(), 'LATER\n');
  });
});
