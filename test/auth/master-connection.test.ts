import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { getEventListeners, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { AuthMasterClient } from '#auth/client.js';
import { type AuthAdmin, connectAuthMaster } from '#auth/master-connection.js';
import { silentLogger } from '#log/logger.js';

/** @param answer to the line of one request: what is written back; '' for nothing yet */
async function serve(
  t: TestContext,
  answer: (line: string, socket: Socket) => string,
): Promise<{ readonly path: string; readonly client: AuthMasterClient & AuthAdmin }> {
  const folder = mkdtempSync(join(tmpdir(), 'roost-auth-'));
  const path = join(folder, 'auth-master');
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      for (const line of chunk.toString().split('\n').slice(0, -1)) {
        if (!line.startsWith('VERSION')) socket.write(answer(line, socket));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const client = connectAuthMaster({ path, log: silentLogger });
  t.after(() => {
    client.close();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { path, client };
}

const idOf = (line: string): string => line.split('\t')[1] ?? '';
const known = (line: string): string => `USER\t${idOf(line)}\t${line.split('\t')[2]}\thome=/h\n`;
const found = (user: string) => ({ kind: 'found', user: { user, fields: { home: '/h' } } });

describe('auth master connection', () => {
  it('does not take the numbers of a late greeting for the answer to its first request', async (t) => {
    const { client } = await serve(t, () => 'VERSION\t1\t1\nSPID\t1\nUSER\t1\tanna\thome=/h\n');
    assert.deepEqual(await client.lookup('anna', 'smtp', AbortSignal.timeout(5_000)), found('anna'));
  });

  it('takes an answer that is longer than one read', async (t) => {
    const home = `/${'h'.repeat(16_000)}`;
    const { client } = await serve(t, (line) => `${known(line).trimEnd()}\tlong=${home}\n`);
    const names = Array.from({ length: 8 }, (_, index) => `user${index}`);
    const answers = await Promise.all(names.map((name) => client.lookup(name, 'smtp', AbortSignal.timeout(5_000))));
    assert.deepEqual(
      answers,
      names.map((user) => ({ kind: 'found', user: { user, fields: { home: '/h', long: home } } })),
    );
  });

  it('tells what auth says now of a user whom it knew otherwise', async (t) => {
    const homes = ['home=/a', 'home=/a', 'home=/b', 'home=/b\tquota_rule=*:storage=1M', 'home=/b', 'uid=1', ''];
    let count = 0;
    const { client } = await serve(t, (line) => `USER\t${idOf(line)}\tanna\t${homes[count++]}\n`);
    const { signal } = new AbortController();
    const told: unknown[] = [];
    for (const _ of homes) {
      const answer = await client.lookup('anna', 'lmtp', signal);
      told.push(answer.kind === 'found' ? answer.user.fields : answer.kind);
    }
    assert.deepEqual(told, [
      { home: '/a' },
      { home: '/a' },
      { home: '/b' },
      { home: '/b', quota_rule: '*:storage=1M' },
      { home: '/b' },
      { uid: '1' },
      { '': '' },
    ]);
  });

  it('hears the signal of who asks with one listener for all questions', async (t) => {
    const { client } = await serve(t, known);
    const { signal } = new AbortController();
    for (let each = 0; each < 5; each++) assert.deepEqual(await client.lookup('anna', 'lmtp', signal), found('anna'));
    assert.equal(getEventListeners(signal, 'abort').length, 1);
  });

  it('ends the questions of a signal that is aborted, and no others', async (t) => {
    let asked: string | undefined;
    const { client } = await serve(t, (line, socket) => {
      if (!line.includes('slow')) return known(line);
      if (asked === undefined) asked = line;
      else socket.write(known(line));
      return '';
    });
    const controller = new AbortController();
    await client.lookup('first', 'lmtp', controller.signal);
    const ended = client.lookup('slow1', 'lmtp', controller.signal);
    await client.lookup('second', 'lmtp', new AbortController().signal);
    controller.abort(new Error('not wanted any more'));
    await assert.rejects(ended, /not wanted any more/);
    assert.deepEqual(await client.lookup('slow2', 'lmtp', new AbortController().signal), found('slow2'));
    await assert.rejects(client.lookup('third', 'lmtp', controller.signal), /not wanted any more/);
  });

  it('says that the connection is lost, and makes another one for the next question', async (t) => {
    let count = 0;
    const { client } = await serve(t, (line, socket) => {
      count += 1;
      if (count === 1) socket.end();
      return count === 1 ? '' : known(line);
    });
    const { signal } = new AbortController();
    assert.deepEqual(await client.lookup('anna', 'lmtp', signal), { kind: 'temp_fail', reason: 'auth: connection lost' });
    assert.deepEqual(await client.lookup('anna', 'lmtp', signal), found('anna'));
  });

  it('keeps the process alive while it waits for an answer, and no longer', async (t) => {
    const { path } = await serve(t, (line, socket) => {
      setImmediate(() => setImmediate(() => socket.write(known(line))));
      return '';
    });
    const script = `import { connectAuthMaster } from ${JSON.stringify(import.meta.resolve('#auth/master-connection.js'))};
      import { silentLogger } from ${JSON.stringify(import.meta.resolve('#log/logger.js'))};
      const client = connectAuthMaster({ path: ${JSON.stringify(path)}, log: silentLogger });
      for (const user of ['anna', 'bert']) console.log((await client.lookup(user, 'lmtp', new AbortController().signal)).user.user);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => child.kill());
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const [code] = await once(child, 'close');
    assert.deepEqual([said, code], ['anna\nbert\n', 0]);
  });
});
