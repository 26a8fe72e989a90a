// Moments at which another process is faster, made to happen.
import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, renameSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import type { StorageCode } from '#storage/errors.js';
import { noStamps } from '#storage/index/index-state.js';
import { addRecord, expungeRecord, FlagsRecordBuilder, stampsRecord } from '#storage/index/log-record.js';
import type { MailboxView } from '#storage/mailbox.js';
import { MaildirMailbox } from '#storage/maildir/mailbox.js';
import { flagBit } from '#storage/types.js';
import { addFlags, append, contentOf, fill, never, openView, rejectsWith, seen, sync, uidsOf } from '../../contract/world.js';
import { onListing, onWrite } from '../../support/file-hooks.js';
import { MaildirWorld } from './world.js';

afterEach(() => {
  onListing(undefined);
  onWrite(undefined);
});

const text = 'Subject: foreign\r\n\r\nx\r\n';

/** Gives the folder a mtime that can be given again: what changes in one tick of the clock leaves it. */
function stopClock(folder: string): () => void {
  const at = Math.ceil(Date.now() / 1000) + 30;
  const stop = (): void => utimesSync(folder, at, at);
  stop();
  return stop;
}

async function uidsSeenBy(world: MaildirWorld, name: string): Promise<number[]> {
  const driver = world.newDriver();
  try {
    await using view = await openView(await world.open(name, {}, driver), true);
    return uidsOf(view);
  } finally {
    await driver.close();
  }
}

describe('A message that is delivered in the clock tick of the last look', () => {
  const deliver = (folder: string, stop: () => void): void => {
    writeFileSync(join(folder, 'new', '1700000000.M1P1.other'), text);
    stop();
  };

  it('is seen by the next NOOP', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    const { mailDir } = world.paths('A');
    await using view = await openView(mailbox);
    const stop = stopClock(join(mailDir, 'new'));
    assert.equal((await sync(view)).exists, undefined);
    deliver(mailDir, stop);
    assert.equal((await sync(view)).exists, 1);
  });

  it('is seen by the next SELECT and STATUS', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    const { mailDir } = world.paths('A');
    const stop = stopClock(join(mailDir, 'new'));
    assert.equal((await mailbox.status({ size: false }, never)).messages, 0);
    deliver(mailDir, stop);
    assert.equal((await mailbox.status({ size: false }, never)).messages, 1);
    writeFileSync(join(mailDir, 'new', '1700000001.M1P1.other'), text);
    stop();
    assert.equal((await openView(await world.open('A'))).count, 2);
  });

  it('is seen while many messages wait in new/', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    const { mailDir } = world.paths('A');
    await fill(mailbox, 50);
    await using view = await openView(mailbox, true);
    const stop = stopClock(join(mailDir, 'new'));
    await sync(view);
    assert.equal(readdirSync(join(mailDir, 'new')).length, 50);
    deliver(mailDir, stop);
    assert.equal((await sync(view)).exists, 51);
  });
});

describe('A file that goes while its folder is listed', () => {
  for (const folder of ['new', 'cur']) {
    it(`gets no UID (${folder}/)`, async () => {
      await using world = await MaildirWorld.make();
      const mailbox = await world.create('A');
      const { mailDir } = world.paths('A');
      await using view = await openView(mailbox);
      writeFileSync(join(mailDir, folder, '1700000000.M1P1.other:2,'), text);
      writeFileSync(join(mailDir, folder, '1700000001.M1P1.other:2,'), text);
      let listings = 0;
      onListing((path, names) => {
        if (path.endsWith(`/${folder}`) && listings++ === 0) unlinkSync(join(path, '1700000000.M1P1.other:2,'));
        return names;
      });
      assert.equal((await sync(view)).exists, 1);
      assert.deepEqual(uidsOf(view), [1]);
      assert.match((await contentOf(view, 1)).toString(), /foreign/);
      assert.deepEqual(await uidsSeenBy(world, 'A'), [1]);
    });
  }

  it('is not given a second UID when a peer gives it one just after the listing', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    const { mailDir } = world.paths('A');
    await append(mailbox, text, { flags: seen });
    await using view = await openView(mailbox);
    const cur = join(mailDir, 'cur');
    const [first = ''] = readdirSync(cur);
    // The change of flags is what this process writes to the index log when it has compared the listing; there a peer is faster.
    renameSync(join(cur, first), join(cur, first.replace(/:2,.*/, ':2,FS')));
    const baseName = '1795333849.M406000P5190.host';
    writeFileSync(join(cur, `${baseName}:2,`), text);
    const list = join(mailDir, 'dovecot-uidlist');
    let isDone = false;
    onWrite(() => {
      if (isDone) return;
      isDone = true;
      appendFileSync(list, `2 :${baseName}\n`);
      const { ino, size, mtimeMs } = statSync(list);
      const common = { flags: 0, keywords: [], suffix: ':2,', isInNew: false, extension: '', internalDate: 1, saveDate: 1 };
      const stamps = stampsRecord({ ...noStamps, uidList: { inode: ino, size, mtimeMs } });
      appendFileSync(join(mailDir, 'roost.index.log'), Buffer.concat([addRecord([{ ...common, uid: 2, baseName }]), stamps]));
    });
    await sync(view);
    onWrite(undefined);
    await sync(view);
    assert.ok(isDone);
    assert.deepEqual(uidsOf(view), [1, 2]);
    assert.deepEqual(readFileSync(list, 'latin1').match(/^\d+ :1795333849.*/gm), [`2 :${baseName}`]);
  });

  it('because a peer gave it a UID and expunged it stays expunged', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    const { mailDir } = world.paths('A');
    await append(mailbox);
    const peer = world.newDriver();
    await using theirs = await openView(await world.open('A', {}, peer));
    await using view = await openView(mailbox);
    let expunging: Promise<number> | undefined;
    const file = join(mailDir, 'cur', readdirSync(join(mailDir, 'cur'))[0] ?? '');
    writeFileSync(join(mailDir, 'cur', '1700000000.M1P1.other:2,'), text);
    onListing((_, names) => {
      // The listing names a message that is gone when it is read.
      if (names.length > 0 && expunging === undefined) {
        const uids = [theirs.uidAt(1)];
        unlinkSync(file);
        expunging = theirs.expunge(uids, never);
      }
      return names;
    });
    await sync(view);
    await expunging;
    onListing(undefined);
    await sync(view);
    assert.deepEqual(uidsOf(view), [2]);
    assert.deepEqual(await uidsSeenBy(world, 'A'), [2]);
    await peer.close();
  });
});

describe('Listings that miss files because they are renamed all the time', () => {
  async function missing(pick: (listing: number, names: string[]) => string[]): Promise<void> {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    const { mailDir } = world.paths('A');
    await fill(mailbox, 10, { flags: seen });
    await using view = await openView(mailbox);
    let listings = 0;
    onListing((path, names) => (path.endsWith('/cur') ? pick(listings++, names) : names));
    writeFileSync(join(mailDir, 'cur', '1700000000.M1P1.other:2,'), text);
    const changes = await sync(view);
    assert.ok(listings > 1);
    assert.deepEqual(changes.expunged, []);
    onListing(undefined);
    await sync(view);
    assert.deepEqual(uidsOf(view), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  }

  it('expunge nothing when each misses another file', async () => {
    await missing((listing, names) => names.sort().filter((_, index) => index !== 1 + (listing % (names.length - 1))));
  });

  it('expunge nothing when all miss the same file, which is where the index has it', async () => {
    await missing((_, names) => names.sort().slice(0, -1));
  });
});

describe('MOVE of messages of which some are gone', () => {
  async function world2(): Promise<{ world: MaildirWorld; view: MailboxView; close(): Promise<void> }> {
    const world = await MaildirWorld.make();
    await fill(await world.create('A'), 3, { flags: seen });
    await world.create('B');
    const view = await openView(await world.open('A'));
    return {
      world,
      view,
      async close() {
        await view[Symbol.asyncDispose]();
        await world[Symbol.asyncDispose]();
      },
    };
  }

  it('moves the others, and nobody sees them go and come back', async () => {
    const { world, view, close } = await world2();
    const peer = world.newDriver();
    await using theirs = await openView(await world.open('A', {}, peer));
    const target = await world.open('B');
    assert.deepEqual((await theirs.move([2], await world.open('B', {}, peer), never)).targetUids, [1]);
    const moved = await view.move([1, 2, 3], target, never);
    assert.deepEqual(
      [moved.sourceUids, moved.targetUids],
      [
        [1, 3],
        [2, 3],
      ],
    );
    assert.deepEqual(
      (await sync(view)).expunged.map(({ uid }) => uid),
      [1, 2, 3],
    );
    assert.deepEqual(
      (await sync(theirs)).expunged.map(({ uid }) => uid),
      [1, 2, 3],
    );
    assert.deepEqual(await uidsSeenBy(world, 'A'), []);
    assert.deepEqual(await uidsSeenBy(world, 'B'), [1, 2, 3]);
    await peer.close();
    await close();
  });

  it('follows a message whose flags were changed by another program', async () => {
    const { world, view, close } = await world2();
    const cur = join(world.paths('A').mailDir, 'cur');
    const [first = ''] = readdirSync(cur).sort();
    renameSync(join(cur, first), join(cur, first.replace(/:2,.*/, ':2,FS')));
    const moved = await view.move([1, 2, 3], await world.open('B'), never);
    assert.deepEqual([...moved.sourceUids].sort(), [1, 2, 3]);
    assert.equal(readdirSync(join(world.paths('B').mailDir, 'cur')).filter((name) => name.endsWith(':2,FS')).length, 1);
    await close();
  });

  it('is refused when all are gone', async () => {
    const { world, view, close } = await world2();
    const cur = join(world.paths('A').mailDir, 'cur');
    for (const name of readdirSync(cur)) unlinkSync(join(cur, name));
    await rejectsWith(view.move([1, 2, 3], await world.open('B'), never), 'expunged');
    assert.deepEqual(await uidsSeenBy(world, 'B'), []);
    await close();
  });

  it('within one mailbox shows each message once', async () => {
    const { world, view, close } = await world2();
    const peer = world.newDriver();
    await using theirs = await openView(await world.open('A', {}, peer));
    await view.move([1, 2], await world.open('A'), never);
    // Before the moving session has asked for news itself.
    const changes = await sync(theirs);
    assert.deepEqual(
      changes.expunged.map(({ uid }) => uid),
      [1, 2],
    );
    assert.deepEqual(uidsOf(theirs), [3, 4, 5]);
    await peer.close();
    await close();
  });
});

describe('A uidlist that a peer is replacing', () => {
  it('costs no UID when a file has got another name in the log and not yet in the list', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    const { mailDir } = world.paths('A');
    await fill(mailbox, 3, { flags: seen });
    const peer = world.newDriver();
    await using theirs = await openView(await world.open('A', {}, peer));
    await using view = await openView(mailbox);
    // A file whose name tells a wrong size gets another name when it is read; the list is read meanwhile.
    const cur = join(mailDir, 'cur');
    const [name = ''] = readdirSync(cur).sort();
    writeFileSync(join(cur, name), 'Subject: longer than it was\r\n\r\nx\r\n');
    await contentOf(view, 1);
    for (let round = 0; round < 20; round += 1) {
      utimesSync(join(mailDir, 'dovecot-uidlist'), round + 1, round + 1);
      await sync(theirs);
      assert.deepEqual(uidsOf(theirs), [1, 2, 3]);
    }
    await world.driver.close();
    assert.ok(!readdirSync(cur).includes(name), 'the name was corrected');
    await sync(theirs);
    assert.deepEqual(uidsOf(theirs), [1, 2, 3]);
    assert.ok(statSync(join(mailDir, 'dovecot-uidlist')).size > 0);
    await peer.close();
  });
});

describe('A change by another process that comes while a sync takes new messages', () => {
  for (const [what, change] of [
    ['flags', (builder: FlagsRecordBuilder) => builder.finish()],
    ['an expunge', () => expungeRecord([[1, 1]])],
  ] as const) {
    it(`is told by that sync or the next one (${what})`, async () => {
      await using world = await MaildirWorld.make();
      const mailbox = await world.create('A');
      assert.ok(mailbox instanceof MaildirMailbox);
      const { mailDir } = world.paths('A');
      await append(mailbox);
      await using view = await openView(mailbox);
      const peer = world.newDriver();
      await append(await world.open('A', {}, peer), undefined, { flags: flagBit.seen });
      const { state } = mailbox.box;
      const builder = new FlagsRecordBuilder(state, 1);
      builder.add(1, flagBit.flagged, 0, state.suffixes.idOf(':2,F'), false);
      let isDone = false;
      onWrite(() => {
        if (isDone) return;
        isDone = true;
        appendFileSync(join(mailDir, 'roost.index.log'), change(builder));
      });
      const first = await sync(view);
      onWrite(undefined);
      assert.ok(isDone && first.exists !== undefined);
      const told = [first, ...(first.flagsChanged.length + first.expunged.length > 0 ? [] : [await sync(view)])];
      assert.equal(told.flatMap(({ flagsChanged, expunged }) => [...flagsChanged, ...expunged]).length, 1);
      await peer.close();
    });
  }
});

describe('A message whose file is renamed while it is changed', () => {
  /** As a peer does that changes flags: each listing is out of date before its reader has it. @returns after so many listings, no more */
  const renameAtListings = (folder: string, times: number): void => {
    let left = times;
    const flip = (): void => {
      const [name] = readdirSync(folder);
      if (name !== undefined) renameSync(join(folder, name), join(folder, name.endsWith('S') ? name.slice(0, -1) : `${name}S`));
    };
    flip();
    onListing((path, names) => {
      if (path === folder && left > 0) {
        left -= 1;
        flip();
      }
      return names;
    });
  };

  it('gets its flags all the same', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    await fill(mailbox, 1);
    await using view = await openView(mailbox);
    const folder = join(world.paths('A').mailDir, 'cur');
    renameAtListings(folder, 4);
    assert.deepEqual((await addFlags(view, [1], flagBit.flagged)).expunged, []);
    assert.match(readdirSync(folder).join(), /:2,F/);
  });

  it('is removed by an expunge all the same', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    await fill(mailbox, 1);
    await using view = await openView(mailbox);
    const folder = join(world.paths('A').mailDir, 'cur');
    renameAtListings(folder, 4);
    assert.equal(await view.expunge([view.uidAt(1)], never, 'any'), 1);
    assert.deepEqual(readdirSync(folder), []);
    assert.deepEqual(
      (await sync(view)).expunged.map(({ uid }) => uid),
      [1],
    );
  });

  it('is not said to be gone while it cannot be got hold of', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    await fill(mailbox, 1);
    await using view = await openView(mailbox);
    const folder = join(world.paths('A').mailDir, 'cur');
    renameAtListings(folder, Number.POSITIVE_INFINITY);
    await rejectsWith(view.expunge([view.uidAt(1)], never, 'any'), 'in-use');
    onListing(undefined);
    assert.equal(await view.expunge([view.uidAt(1)], never, 'any'), 1);
  });

  const others: readonly {
    readonly done: string;
    readonly code: StorageCode;
    readonly work: (view: MailboxView, world: MaildirWorld) => Promise<unknown>;
  }[] = [
    { done: 'read', code: 'in-use', work: (view) => contentOf(view, 1) },
    { done: 'copied', code: 'unavailable', work: async (view, world) => view.copy([1], await world.open('B'), never) },
    { done: 'moved', code: 'in-use', work: async (view, world) => view.move([1], await world.open('B'), never) },
  ];
  for (const { done, code, work } of others) {
    it(`is not said to be gone either when it is to be ${done}`, async () => {
      await using world = await MaildirWorld.make();
      const mailbox = await world.create('A');
      await fill(mailbox, 1);
      await world.create('B');
      await using view = await openView(mailbox);
      const folder = join(world.paths('A').mailDir, 'cur');
      renameAtListings(folder, Number.POSITIVE_INFINITY);
      await rejectsWith(work(view, world), code);
      renameAtListings(folder, 6);
      await work(view, world);
    });
  }
});
