import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { ListWatch } from '#storage/list-watch.js';

function folderFor(test: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'roost-list-watch-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Counts calls; `next` resolves with the next one. */
function counter(): { readonly called: () => void; next(): Promise<void>; count: number } {
  let wake: (() => void) | undefined;
  const state = {
    count: 0,
    called: (): void => {
      state.count += 1;
      wake?.();
    },
    next: (): Promise<void> =>
      new Promise((resolve) => {
        wake = resolve;
      }),
  };
  return state;
}

describe('watching the mailbox list', () => {
  // Neither the timers nor the watches keep a process alive.
  let alive: NodeJS.Timeout | undefined;
  before(() => {
    alive = setInterval(() => undefined, 1000);
  });
  after(() => clearInterval(alive));

  for (const [what, change] of [
    ['a folder', (root: string) => mkdirSync(join(root, '.New'))],
    [
      'the subscriptions',
      (root: string) => {
        writeFileSync(join(root, 'subscriptions.1.tmp'), 'INBOX\n');
        renameSync(join(root, 'subscriptions.1.tmp'), join(root, 'subscriptions'));
      },
    ],
  ] as const) {
    it(`tells of ${what} that another program changes`, async (test) => {
      const root = folderFor(test);
      const watch = new ListWatch({ stores: [], folders: async () => [root] }, silentLogger);
      test.after(() => watch.close());
      const calls = counter();
      await watch.add(calls.called);
      const told = calls.next();
      change(root);
      await told;
    });
  }

  it('follows folders that come later', async (test) => {
    const root = folderFor(test);
    const inner = join(root, 'inner');
    const watch = new ListWatch({ stores: [], folders: async () => [root, inner] }, silentLogger);
    test.after(() => watch.close());
    const calls = counter();
    await watch.add(calls.called);
    let told = calls.next();
    mkdirSync(inner);
    await told;
    told = calls.next();
    writeFileSync(join(inner, 'entry'), '');
    await told;
  });

  it('passes over files that change with the mail', async (test) => {
    const root = folderFor(test);
    const watch = new ListWatch({ stores: [], folders: async () => [root] }, silentLogger);
    test.after(() => watch.close());
    const calls = counter();
    await watch.add(calls.called);
    for (const name of ['dovecot-uidlist', 'roost.index.log', 'roost.cache', 'maildirsize', 'dovecot-uidlist.lock', 'dovecot.index.log'])
      writeFileSync(join(root, name), '');
    const told = calls.next();
    mkdirSync(join(root, '.New'));
    await told;
    assert.equal(calls.count, 1);
  });

  it('is told by stores, once for changes that come together, and stops with the last watcher', async (test) => {
    const listeners = new Set<() => void>();
    const store = (onChange: () => void): (() => void) => {
      listeners.add(onChange);
      return () => listeners.delete(onChange);
    };
    const watch = new ListWatch({ stores: [store], folders: async () => [] }, silentLogger);
    test.after(() => watch.close());
    const calls = counter();
    const stop = await watch.add(calls.called);
    const told = calls.next();
    for (const listener of listeners) for (let count = 0; count < 3; count += 1) listener();
    await told;
    assert.equal(calls.count, 1);
    stop();
    assert.equal(listeners.size, 0);
  });

  it('looks now and then where folders cannot be watched', async (test) => {
    const root = folderFor(test);
    const folders = Array.from({ length: 1001 }, (_, index) => join(root, String(index)));
    const watch = new ListWatch({ stores: [], folders: async () => folders }, silentLogger, 10);
    test.after(() => watch.close());
    const calls = counter();
    const told = calls.next();
    await watch.add(calls.called);
    await told;
  });
});
