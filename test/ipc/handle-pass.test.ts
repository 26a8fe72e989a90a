import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  bindDescriptorSocket,
  canPassDescriptors,
  closeDescriptor,
  HandlePassError,
  receiveDescriptor,
  sendDescriptor,
} from '#ipc/handle-pass.js';
import { patienceMs } from '../support/patience.js';

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

async function settled(condition: () => boolean): Promise<void> {
  for (const endMs = performance.now() + patienceMs; !condition() && performance.now() < endMs; )
    await new Promise((resolve) => setImmediate(resolve));
  assert.ok(condition());
}

describe('descriptor passing', { skip: !canPassDescriptors() && 'koffi cannot be loaded here' }, () => {
  let folder = '';
  let counter = 0;
  const newPath = (): string => {
    counter += 1;
    return join(folder, `descriptors-${counter}`);
  };
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'roost-handle-'));
  });
  after(() => rm(folder, { recursive: true }));

  for (const [how, flags] of [
    ['a process', []],
    ['a process under the permission model', ['--experimental-permission', '--allow-addons', '--allow-fs-read=*']],
  ] as const) {
    it(`gives ${how} an open file of another`, async () => {
      const path = newPath();
      const target = join(folder, `file-${counter}`);
      const socketFd = bindDescriptorSocket(path);
      const child = spawn(process.execPath, [...flags, '--no-warnings', fileURLToPath(new URL('handle-pass-child.js', import.meta.url))], {
        stdio: ['pipe', 'pipe', 'inherit', socketFd],
        env: {},
      });
      closeSync(socketFd);
      const file = openSync(target, 'w');
      await sendDescriptor(path, file, 'token-1', patienceMs);
      await sendDescriptor(path, file, 'token-2', patienceMs);
      closeSync(file);
      const lines = createInterface({ input: child.stdout ?? Readable.from([]) });
      child.stdin?.write('take\n');
      const [answer] = await once(lines, 'line');
      assert.deepEqual(JSON.parse(String(answer)), ['token-1', 'token-2']);
      assert.equal(readFileSync(target, 'utf8'), `${child.pid} token-1\n${child.pid} token-2\n`);
      child.stdin?.end();
      await once(child, 'exit');
    });
  }

  it('finds nothing when nothing was sent', () => {
    const socketFd = bindDescriptorSocket(newPath());
    assert.equal(receiveDescriptor(socketFd), undefined);
    closeDescriptor(socketFd);
  });

  it('keeps many descriptors in order and leaks none', async () => {
    const path = newPath();
    const socketFd = bindDescriptorSocket(path);
    await sendDescriptor(path, socketFd, 'warm-up', patienceMs);
    const warm = receiveDescriptor(socketFd);
    assert.ok(warm);
    closeSync(warm.fd);
    const countBefore = openDescriptors();
    const tokens: string[] = [];
    for (let n = 0; n < 200; n += 1) {
      await sendDescriptor(path, 0, `t${n}`, patienceMs);
      const received = receiveDescriptor(socketFd);
      assert.ok(received);
      assert.notEqual(received.fd, 0);
      tokens.push(received.token);
      closeSync(received.fd);
    }
    assert.deepEqual(
      tokens,
      Array.from({ length: 200 }, (_, n) => `t${n}`),
    );
    assert.ok(openDescriptors() <= countBefore);
    closeSync(socketFd);
  });

  it('waits while the queue is full and goes on when the receiver reads', async () => {
    const path = newPath();
    const socketFd = bindDescriptorSocket(path);
    const sends = Array.from({ length: 400 }, (_, n) => sendDescriptor(path, 0, `t${n}`, patienceMs));
    const tokens = new Set<string>();
    await settled(() => {
      for (let received = receiveDescriptor(socketFd); received !== undefined; received = receiveDescriptor(socketFd)) {
        tokens.add(received.token);
        closeDescriptor(received.fd);
      }
      return tokens.size === 400;
    });
    await Promise.all(sends);
    closeSync(socketFd);
  });

  it('gives up on a receiver that never reads', async () => {
    const path = newPath();
    const socketFd = bindDescriptorSocket(path);
    const results = await Promise.allSettled(Array.from({ length: 1500 }, (_, n) => sendDescriptor(path, 0, `t${n}`, 20)));
    const failure = results.find((result) => result.status === 'rejected');
    assert.ok(failure?.status === 'rejected' && failure.reason instanceof HandlePassError);
    assert.equal(failure.reason.code, 'timeout');
    closeSync(socketFd);
  });

  it('reports a receiver that is gone', async () => {
    const path = newPath();
    closeSync(bindDescriptorSocket(path));
    await assert.rejects(sendDescriptor(path, 0, 'token', patienceMs), { code: 'gone' });
    await assert.rejects(sendDescriptor(`${path}-never`, 0, 'token', patienceMs), { code: 'gone' });
  });

  it('refuses what the kernel or the layout would not take', async () => {
    const path = newPath();
    const socketFd = bindDescriptorSocket(path);
    assert.ok(statSync(path).isSocket());
    await assert.rejects(sendDescriptor(path, 9999, 'token', patienceMs), { code: 'failed', message: /EBADF/ });
    await assert.rejects(sendDescriptor(path, 0, 'x'.repeat(65), patienceMs), RangeError);
    await assert.rejects(sendDescriptor(path, 0, '', patienceMs), RangeError);
    assert.throws(() => bindDescriptorSocket(path), { code: 'failed', message: /EADDRINUSE/ });
    assert.throws(() => bindDescriptorSocket(`/tmp/${'x'.repeat(103)}`), { code: 'failed', message: /107/ });
    closeSync(socketFd);
  });
});
