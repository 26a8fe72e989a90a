import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Logger } from '#log/logger.js';
import { silentLogger } from '#log/logger.js';
import { MemoryWatch, residentBytes } from '#services/master/memory-watch.js';
import { isAlive, MasterWorld, until } from './master-world.js';

const megabyte = 1024 * 1024;

/** A master whose toy service has a vsz_limit of 200 MB, one client in it, and a watch that is told what it sees. */
async function withWatch(work: (world: MasterWorld, look: (bytes: number) => void, lines: string[]) => Promise<void>): Promise<void> {
  const world = await MasterWorld.start({ toy: { plan: { vszLimitBytes: 200 * megabyte } } });
  const lines: string[] = [];
  const take = (_: string, text: string): void => void lines.push(text);
  const log: Logger = { ...silentLogger, warning: take, error: take };
  const watch = new MemoryWatch(log, () => world.master.allPools);
  try {
    await work(world, (bytes) => watch.look(() => bytes), lines);
  } finally {
    await world.close();
  }
}

describe('vsz_limit', () => {
  it('lets a process above it finish its clients, and replaces it', async () => {
    await withWatch(async (world, look, lines) => {
      const client = await world.greeted();
      const pid = await client.pid();
      look(100 * megabyte);
      assert.deepEqual(lines, []);
      look(210 * megabyte);
      look(220 * megabyte);
      assert.equal(lines.length, 1);
      assert.match(
        lines[0] ?? '',
        /service\(toy\): child \d+ uses 210 MB \(service toy \{ vsz_limit=200 MB \}, you may need to increase it\)/,
      );
      assert.equal(await client.pid(), pid);
      const next = await world.greeted();
      assert.notEqual(await next.pid(), pid);
      client.send('quit');
      await until(
        () => !isAlive(pid),
        () => 'end of the process',
      );
    });
  });

  it('kills a process far above it', async () => {
    await withWatch(async (world, look, lines) => {
      const client = await world.greeted();
      look(301 * megabyte);
      await client.ended();
      assert.match(lines.join(), /uses 301 MB .* - killed/);
      await world.greeted();
    });
  });

  it('is compared with what the kernel says', () => {
    const bytes = residentBytes(process.pid);
    assert.ok(Math.abs(bytes - process.memoryUsage.rss()) < 50 * megabyte, `${bytes}`);
    assert.equal(residentBytes(2 ** 30), 0);
  });
});
