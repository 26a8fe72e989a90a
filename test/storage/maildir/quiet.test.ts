// Looks at a mailbox in which nothing happens are spared; whatever happens then is seen at once all the same.
import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, renameSync, rmSync, statfsSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { StorageError } from '#storage/errors.js';
import type { Mailbox, MailboxView, ViewChanges } from '#storage/mailbox.js';
import { MaildirMailboxBase } from '#storage/maildir/mailbox-base.js';
import { addFlags, crlfMessage, fill, flagged, never, openView } from '../../contract/world.js';
import { patienceMs } from '../../support/patience.js';
import { MaildirWorld } from './world.js';

const isWatchable = [0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994].includes(statfsSync(tmpdir()).type);
const name = 'A';

const sync = (view: MailboxView): Promise<ViewChanges> => view.sync({ allowExpunge: true }, never);

function boxOf(mailbox: Mailbox): MaildirMailboxBase['box'] {
  assert.ok(mailbox instanceof MaildirMailboxBase);
  return mailbox.box;
}

/** Two messages, changed last long ago, and a client that asks for news until the kernel is asked instead. */
async function quietWorld(): Promise<{ readonly world: MaildirWorld; readonly view: MailboxView; readonly mailDir: string }> {
  const world = await MaildirWorld.make();
  await fill(await world.create(name), 2);
  await (await openView(await world.open(name)))[Symbol.asyncDispose]();
  const { mailDir } = world.paths(name);
  await world.restart();
  for (const folder of ['new', 'cur']) utimesSync(join(mailDir, folder), 1_700_000_000, 1_700_000_000);
  const mailbox = await world.open(name);
  const view = await openView(mailbox);
  const { quiet } = boxOf(mailbox);
  for (const endMs = Date.now() + patienceMs; !quiet.isWatched || !quiet.lasts(Date.now()); ) {
    assert.ok(Date.now() < endMs, 'never quiet');
    await sync(view);
  }
  return { world, view, mailDir };
}

describe('A mailbox in which nothing happens', { skip: !isWatchable }, () => {
  const seen = async (
    change: (mailDir: string, world: MaildirWorld) => unknown,
    check: (changes: ViewChanges, view: MailboxView) => void,
  ) => {
    const { world, view, mailDir } = await quietWorld();
    try {
      await change(mailDir, world);
      check(await sync(view), view);
    } finally {
      await view[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    }
  };

  it('tells at once of a delivery', () =>
    seen(
      (mailDir) => {
        writeFileSync(join(mailDir, 'tmp', '1700000009.M1P1.h'), crlfMessage);
        renameSync(join(mailDir, 'tmp', '1700000009.M1P1.h'), join(mailDir, 'new', '1700000009.M1P1.h'));
      },
      (changes) => assert.equal(changes.exists, 3),
    ));

  it('tells at once of a flag that another program sets', () =>
    seen(
      (mailDir) => {
        const cur = join(mailDir, 'cur');
        const [file = ''] = readdirSync(cur).sort();
        renameSync(join(cur, file), join(cur, `${file.replace(/:2,.*/, '')}:2,F`));
      },
      (changes) => assert.equal(changes.flagsChanged.length, 1),
    ));

  it('tells at once of a message that another program removes', () =>
    seen(
      (mailDir) => {
        const cur = join(mailDir, 'cur');
        rmSync(join(cur, readdirSync(cur)[0] ?? ''));
      },
      (changes) => assert.equal(changes.expunged.length, 1),
    ));

  it('tells at once of what another process logged', () =>
    seen(
      async (_mailDir, world) => {
        const peer = world.newDriver();
        await using other = await openView(await world.open(name, {}, peer));
        await addFlags(other, [2], flagged);
        await peer.close();
      },
      (changes) => assert.deepEqual(changes.flagsChanged, [2]),
    ));

  it('tells at once of keywords and UIDs that another program gives', () =>
    seen(
      (mailDir) => {
        const cur = join(mailDir, 'cur');
        const [file = ''] = readdirSync(cur).sort();
        renameSync(join(cur, file), join(cur, `${file.replace(/:2,.*/, '')}:2,a`));
        appendFileSync(join(mailDir, 'dovecot-keywords'), '0 Later\n');
      },
      (changes, view) => {
        assert.equal(changes.flagsChanged.length, 1);
        assert.deepEqual(view.mailbox.keywords, ['Later']);
      },
    ));

  it('tells at once that it is gone', async () => {
    const { world, view, mailDir } = await quietWorld();
    rmSync(mailDir, { recursive: true });
    await assert.rejects(sync(view), (error) => error instanceof StorageError && error.code === 'not-found');
    await view[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  it('is watched no longer once it is given up', async () => {
    const { world, view } = await quietWorld();
    const { quiet } = boxOf(view.mailbox);
    await view[Symbol.asyncDispose]();
    await world.driver.close();
    assert.equal(quiet.isWatched, false);
    await world[Symbol.asyncDispose]();
  });

  it('that changes between a few looks is not watched', async () => {
    const { world, view, mailDir } = await quietWorld();
    const { quiet } = boxOf(view.mailbox);
    for (let turn = 0; turn < 3; turn += 1) {
      writeFileSync(join(mailDir, 'dovecot-uidlist.lock'), '');
      rmSync(join(mailDir, 'dovecot-uidlist.lock'));
      await sync(view);
    }
    assert.equal(quiet.isWatched, false);
    await view[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });
});
