// How a process learns of what others do to a mailbox it watches.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
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

  it('gives its watches back', async () => {
    const lines: string[] = [];
    await using world = await MaildirWorld.make({ maxWatches: 2, pollMs: 60_000, log: collectingLogger(lines) });
    for (const name of ['A', 'B', 'C']) await isWokenByDelivery(world, name, await world.create(name));
    assert.deepEqual(lines, []);
  });
});
