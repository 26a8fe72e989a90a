// How a process learns of what others do to a mailbox it watches.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Logger, silentLogger } from '#log/logger.js';
import type { Mailbox } from '#storage/mailbox.js';
import { nextCall, openView, sync } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

function collectingLogger(lines: string[]): Logger {
  const logger: Logger = { ...silentLogger, warning: (event) => lines.push(event), child: () => logger };
  return logger;
}

async function isWokenByDelivery(world: MaildirWorld, name: string, mailbox: Mailbox): Promise<void> {
  await using view = await openView(mailbox);
  const { called, stop } = nextCall((onChange) => view.watch(onChange));
  await writeFile(join(world.paths(name).mailDir, 'new', '1700000000.M1P1.other'), 'Subject: x\r\n\r\nx\r\n');
  await called;
  stop();
  assert.equal((await sync(view)).exists, 1);
}

describe('A watched mailbox', () => {
  it('is looked at every now and then where the kernel has no more watches, which is logged once', async () => {
    const lines: string[] = [];
    await using world = await MaildirWorld.make({ maxWatches: 3, pollMs: 20, log: collectingLogger(lines) });
    const names = ['A', 'B', 'C'];
    const views = await Promise.all(names.map(async (name) => openView(await world.create(name))));
    // The first takes two watches, the others none.
    const stops = views.map((view) => view.watch(() => undefined));
    assert.deepEqual(lines, ['maildir.watch']);
    for (const name of ['B', 'C']) await isWokenByDelivery(world, name, await world.open(name));
    assert.deepEqual(lines, ['maildir.watch']);
    for (const stop of stops) stop();
    for (const view of views) await view[Symbol.asyncDispose]();
  });

  for (const code of ['ENOSPC', 'EMFILE'])
    it(`is looked at every now and then where the kernel says ${code}, which is logged once, with what to raise`, async (test) => {
      const lines: string[] = [];
      const { watch } = fs;
      let made = 0;
      fs.watch = ((...args: Parameters<typeof watch>) => {
        made += 1;
        // The second mailbox gets one of its two watches, the third none.
        if (made > 3) throw Object.assign(new Error(`watch ${code}`), { code });
        return watch(...args);
      }) as typeof watch;
      syncBuiltinESMExports();
      test.after(() => {
        fs.watch = watch;
        syncBuiltinESMExports();
      });
      await using world = await MaildirWorld.make({ pollMs: 20, log: collectingLogger(lines) });
      const views = await Promise.all(['A', 'B', 'C'].map(async (name) => openView(await world.create(name))));
      const stops = views.map((view) => view.watch(() => undefined));
      for (const name of ['A', 'B', 'C']) await isWokenByDelivery(world, name, await world.open(name));
      assert.deepEqual(lines, ['maildir.watch']);
      for (const stop of stops) stop();
      for (const view of views) await view[Symbol.asyncDispose]();
    });

  it('gives its watches back', async () => {
    const lines: string[] = [];
    await using world = await MaildirWorld.make({ maxWatches: 2, pollMs: 60_000, log: collectingLogger(lines) });
    for (const name of ['A', 'B', 'C']) await isWokenByDelivery(world, name, await world.create(name));
    assert.deepEqual(lines, []);
  });
});
