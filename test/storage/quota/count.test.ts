import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { StorageError } from '#storage/errors.js';
import type { Mailbox } from '#storage/mailbox.js';
import { createCountBackend } from '#storage/quota/count.js';
import { never } from '../../contract/world.js';

/** One mailbox whose size the test sets; `clock` is the time of day in ms. */
function makeBackend(test: TestContext) {
  const mailDir = mkdtempSync(join(tmpdir(), 'roost-count-'));
  test.after(() => rmSync(mailDir, { recursive: true, force: true }));
  for (const folder of ['cur', 'new']) mkdirSync(join(mailDir, folder));
  const world = { clock: 1_000_000_000, size: 10, asked: 0, gate: Promise.resolve() };
  const status = async () => {
    const { size } = world;
    world.asked += 1;
    await world.gate;
    return { size, messages: 1 };
  };
  const backend = createCountBackend({
    mailboxes: async () => [{ name: 'INBOX', mailDir, open: async () => ({ status }) as unknown as Mailbox }],
    now: () => world.clock,
  });
  const touch = (atMs: number): void => {
    for (const folder of ['cur', 'new']) utimesSync(join(mailDir, folder), atMs / 1000, atMs / 1000);
  };
  return { world, backend, touch };
}

describe('count backend', () => {
  it('asks a mailbox again when its folders changed, and not otherwise', async (test) => {
    const { world, backend, touch } = makeBackend(test);
    touch(world.clock - 60_000);
    assert.equal((await backend.currentUsage(never)).bytes, 10);
    assert.equal((await backend.currentUsage(never)).bytes, 10);
    assert.equal(world.asked, 1);
    touch(world.clock - 30_000);
    world.size = 20;
    assert.equal((await backend.currentUsage(never)).bytes, 20);
    assert.equal(world.asked, 2);
  });

  it('sees two changes at one time stamp', async (test) => {
    const { world, backend, touch } = makeBackend(test);
    touch(world.clock);
    assert.equal((await backend.currentUsage(never)).bytes, 10);
    touch(world.clock);
    world.size = 20;
    world.clock += 10_000;
    assert.equal((await backend.currentUsage(never)).bytes, 20);
  });

  it('does not miss a change of its own while it counts', async (test) => {
    const { world, backend } = makeBackend(test);
    let resolve = (): void => undefined;
    world.gate = new Promise((done) => {
      resolve = done;
    });
    const before = backend.usage(never);
    while (world.asked === 0) await new Promise(setImmediate);
    world.size = 15;
    await backend.add(5, 1);
    const after = backend.usage(never);
    resolve();
    await before;
    assert.equal((await after).bytes, 15);
  });

  for (const [what, now] of [
    ['renamed', ['INBOX', 'New']],
    ['deleted', ['INBOX']],
  ] as const)
    it(`counts what there is when a mailbox is ${what} after it was listed`, async () => {
      let listed = 0;
      const backend = createCountBackend({
        mailboxes: async () => {
          listed += 1;
          const names = listed === 1 ? ['INBOX', 'Old'] : now;
          return names.map((name) => ({
            name,
            mailDir: `/nonexistent/${name}`,
            open: async () => {
              if (name === 'Old') throw new StorageError('not-found', 'no mailbox');
              return { status: async () => ({ size: 10, messages: 1 }) } as unknown as Mailbox;
            },
          }));
        },
      });
      assert.deepEqual(await backend.currentUsage(never), { bytes: 10 * now.length, messages: now.length });
    });

  it('comes to an end where mailboxes go all the time', async () => {
    let listed = 0;
    const backend = createCountBackend({
      mailboxes: async () => {
        listed += 1;
        const open = async (): Promise<Mailbox> => {
          throw new StorageError('not-found', 'no mailbox');
        };
        return [{ name: `box${listed}`, mailDir: `/nonexistent/box${listed}`, open }];
      },
    });
    assert.deepEqual(await backend.currentUsage(never), { bytes: 0, messages: 0 });
    assert.ok(listed > 1 && listed < 20);
  });
});
