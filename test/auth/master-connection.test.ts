import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { connectAuthMaster } from '#auth/master-connection.js';
import { silentLogger } from '#log/logger.js';

describe('auth master connection', () => {
  it('does not take the numbers of a late greeting for the answer to its first request', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-auth-'));
    const path = join(folder, 'auth-master');
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        if (chunk.includes('USER')) socket.write('VERSION\t1\t1\nSPID\t1\nUSER\t1\tanna\thome=/h\n');
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const client = connectAuthMaster({ path, log: silentLogger });
    t.after(() => {
      client.close();
      server.close();
      rmSync(folder, { recursive: true });
    });
    const found = await client.lookup('anna', 'smtp', AbortSignal.timeout(5_000));
    assert.deepEqual(found, { kind: 'found', user: { user: 'anna', fields: { home: '/h' } } });
  });
});
