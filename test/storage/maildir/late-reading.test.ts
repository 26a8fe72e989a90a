// Mailboxes that are opened before all of their index is in memory.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Logger, silentLogger } from '#log/logger.js';
import { unlimitedQuota } from '#storage/driver.js';
import type { Mailbox, MailboxView } from '#storage/mailbox.js';
import { MaildirMailbox } from '#storage/maildir/mailbox.js';
import { addFlags, append, contentOf, expunge, fill, flagged, flagsAt, never, openView, seen, sync, uidsOf } from '../../contract/world.js';
import { patienceMs } from '../../support/patience.js';
import { MaildirWorld } from './world.js';

const messages = 6;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function boxOf(mailbox: Mailbox): MaildirMailbox['box'] {
  assert.ok(mailbox instanceof MaildirMailbox);
  return mailbox.box;
}

/** A mailbox with an index on disk, in nobody's memory; message 2 has been expunged, message 3 is flagged and has a keyword. */
async function makeWorld(): Promise<MaildirWorld> {
  const world = await MaildirWorld.make({ lateAboveBytes: 0 });
  const mailbox = await world.create('box');
  await fill(mailbox, messages);
  {
    await using view = await openView(mailbox);
    await addFlags(view, [3], flagged, ['work']);
    await expunge(view, [2]);
    await sync(view);
    await describeView(view);
    // A change long ago: nothing has to be looked at again when the mailbox is opened.
    for (const folder of ['cur', 'new']) utimesSync(join(world.paths('box').mailDir, folder), 1_700_000_000, 1_700_000_000);
    await sync(view);
    boxOf(mailbox).index.compact();
  }
  await world.restart();
  return world;
}

/** Opened, and for the rest of the index somebody has to ask. */
async function openEarly(mailbox: Mailbox): Promise<MailboxView> {
  const view = await openView(mailbox);
  const box = boxOf(mailbox);
  box.lateReading.stop();
  assert.equal(box.index.isWhole, false);
  return view;
}

async function describeView(view: MailboxView): Promise<string[]> {
  const seqs = Array.from({ length: view.count }, (_, index) => index + 1);
  assert.deepEqual(await view.prepare(seqs, { size: true, internalDate: true }, never), []);
  const found: string[] = [];
  for (const seq of seqs) {
    const text = (await contentOf(view, seq)).toString('latin1');
    found.push([view.uidAt(seq), flagsAt(view, seq), view.keywordsAt(seq), view.sizeAt(seq), view.guidAt(seq), text].join('|'));
  }
  return found;
}

/** Of all, as a process sees them that begins with no index. */
async function truth(world: MaildirWorld): Promise<string[]> {
  const driver = world.newDriver({ lateAboveBytes: Number.POSITIVE_INFINITY });
  await using view = await openView(await world.open('box', {}, driver), true);
  const found = await describeView(view);
  await driver.close();
  return found;
}

describe('A mailbox whose index is on disk', () => {
  it('is opened, listed and searched by flags before its file names are read', async () => {
    await using world = await makeWorld();
    const mailbox = await world.open('box');
    await using view = await openEarly(mailbox);
    assert.deepEqual(uidsOf(view), [1, 3, 4, 5, 6]);
    assert.equal(flagsAt(view, 2), flagged);
    assert.deepEqual(view.keywordsAt(2), ['work']);
    assert.equal(view.firstUnseen(), 1);
    assert.deepEqual(await view.search({ kind: 'flags', system: flagged }, never), [2]);
    assert.deepEqual((await sync(view)).flagsChanged, []);
    assert.equal((await mailbox.status({ size: false }, never)).messages, messages - 1);
    assert.equal(boxOf(mailbox).index.isWhole, false);
    assert.deepEqual(await describeView(view), await truth(world));
    assert.equal(boxOf(mailbox).index.isWhole, true);
  });

  it('tells its status, and its size, to who does not open it', async () => {
    await using world = await makeWorld();
    const { messages: count, size } = await (await world.open('box')).status({ size: true }, never);
    await using view = await openView(await world.open('box'));
    await describeView(view);
    assert.equal(count, view.count);
    assert.equal(
      size,
      [1, 2, 3, 4, 5].reduce((sum, seq) => sum + view.sizeAt(seq), 0),
    );
  });

  it('is read as a whole soon, with nobody waiting for it', async () => {
    await using world = await makeWorld();
    const mailbox = await world.open('box');
    await using view = await openView(mailbox);
    for (const until = Date.now() + patienceMs; !boxOf(mailbox).index.isWhole && Date.now() < until; ) await turn();
    assert.equal(boxOf(mailbox).index.isWhole, true);
    assert.deepEqual(await describeView(view), await truth(world));
  });

  for (const name of ['roost.index', 'roost.index.log', 'roost.cache', 'dovecot-uidlist'] as const) {
    it(`goes on where ${name} is deleted before that`, async () => {
      await using world = await makeWorld();
      const expected = await truth(world);
      const mailbox = await world.open('box');
      await using view = await openEarly(mailbox);
      rmSync(join(world.paths('box').mailDir, name), { force: true });
      assert.deepEqual(await describeView(view), expected);
      await sync(view);
      assert.deepEqual(await describeView(view), expected);
    });
  }

  it('takes over what another process does before that', async () => {
    await using world = await makeWorld();
    const mailbox = await world.open('box');
    await using view = await openEarly(mailbox);
    const peer = world.newDriver();
    const theirs = await world.open('box', {}, peer);
    {
      await using other = await openView(theirs);
      await addFlags(other, [1], seen, ['theirs']);
      await expunge(other, [3]);
      await append(theirs, 'Subject: late\r\n\r\nx\r\n');
      await sync(other);
      boxOf(theirs).index.compact();
      await addFlags(other, [2], seen);
    }
    const changes = await sync(view);
    assert.deepEqual(changes.expunged, [{ seq: 3, uid: 4 }]);
    assert.deepEqual(changes.flagsChanged, [1, 2]);
    assert.equal(changes.exists, 5);
    assert.deepEqual(await describeView(view), await truth(world));
    await peer.close();
  });

  it('is changed before that', async () => {
    await using world = await makeWorld();
    const mailbox = await world.open('box');
    await using view = await openEarly(mailbox);
    await addFlags(view, [1], seen, ['mine']);
    await expunge(view, [2]);
    await sync(view);
    assert.deepEqual(await describeView(view), await truth(world));
    await world.restart();
    await using again = await openView(await world.open('box'));
    assert.deepEqual(await describeView(again), await truth(world));
  });

  /** In the snapshot: the first modseq, the last column, the last name. */
  const damages: Readonly<Record<string, (bytes: Buffer) => number>> = {
    modseqs: (bytes) => 256 + bytes.readUInt32LE(24),
    'the columns of files': (bytes) => bytes.length - bytes.readUInt32LE(28) - 20,
    'file names': (bytes) => bytes.length - 1,
  };
  for (const [what, placeIn] of Object.entries(damages)) {
    it(`is made anew with one log line where ${what} are damaged, and its sessions go on`, async () => {
      await using world = await makeWorld();
      const expected = await truth(world);
      const lines: string[] = [];
      const note = (event: string): number => lines.push(event);
      const log: Logger = { ...silentLogger, error: note, warning: note, child: () => log };
      const driver = world.newDriver({ log });
      const mailbox = await driver.open(world.paths('box'), { name: 'box', quota: unlimitedQuota, isReadOnly: false, log }, never);
      const view = await openEarly(mailbox);
      const other = await openEarly(mailbox);
      const { highestModSeq } = mailbox;
      const path = join(world.paths('box').mailDir, 'roost.index');
      const bytes = readFileSync(path);
      const at = placeIn(bytes);
      bytes[at] = (bytes[at] as number) ^ 0x10;
      writeFileSync(path, bytes);
      assert.deepEqual(await Promise.all([describeView(view), describeView(other)]), [expected, expected]);
      assert.deepEqual(lines, ['index.rebuilt']);
      assert.ok(mailbox.highestModSeq >= highestModSeq);
      assert.deepEqual((await sync(view)).expunged, []);
      await append(mailbox, 'Subject: after\r\n\r\nx\r\n');
      assert.equal((await sync(view)).exists, messages);
      await expunge(view, [messages]);
      assert.deepEqual((await sync(view)).expunged, [{ seq: messages, uid: messages + 1 }]);
      assert.deepEqual(await truth(world), expected);
      await driver.close();
    });
  }

  it('is not read again where it was deleted meanwhile', async () => {
    await using world = await makeWorld();
    const mailbox = await world.open('box');
    const view = await openEarly(mailbox);
    await world.delete('box');
    await assert.rejects(view.prepare([1], { size: true }, never), { code: 'not-found' });
    await view[Symbol.asyncDispose]();
  });

  it('is parked before that, and goes on', async () => {
    await using world = await makeWorld();
    const mailbox = await world.open('box');
    await using view = await openEarly(mailbox);
    await boxOf(mailbox).settled();
    view.park();
    assert.equal(boxOf(mailbox).isLoaded, false);
    await sync(view);
    assert.deepEqual(await describeView(view), await truth(world));
  });
});

describe('The log of an index', () => {
  for (const [changes, becomes] of [
    [5, 'stays where it is short'],
    [60, 'is compacted where the next opener would have much to apply'],
  ] as const) {
    it(`${becomes}, when a mailbox is given up`, async () => {
      await using world = await MaildirWorld.make({ compactLogBytes: 512 });
      const mailbox = await world.create('box');
      await fill(mailbox, 100);
      {
        await using view = await openView(mailbox);
        boxOf(mailbox).index.compact();
        await addFlags(
          view,
          Array.from({ length: changes }, (_, index) => index + 1),
          flagged,
        );
        assert.ok(boxOf(mailbox).index.logBytes > 0);
      }
      await world.restart();
      const left = statSync(join(world.paths('box').mailDir, 'roost.index.log')).size - 64;
      assert.equal(left === 0, changes === 60);
      await using again = await openView(await world.open('box'));
      assert.equal(flagsAt(again, changes), flagged);
      assert.equal(flagsAt(again, changes + 1), 0);
    });
  }
});
