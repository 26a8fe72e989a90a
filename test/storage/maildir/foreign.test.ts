// What other programs do to a Maildir while Roost has it open, or had.
import assert from 'node:assert/strict';
import { link, mkdir, readdir, readFile, rename, rm, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Logger, silentLogger } from '#log/logger.js';
import { unlimitedQuota } from '#storage/driver.js';
import type { MailboxView } from '#storage/mailbox.js';
import {
  addFlags,
  append,
  contentOf,
  crlfMessage,
  deleted,
  fill,
  flagged,
  never,
  nextCall,
  openView,
  seen,
  sync,
  uidsOf,
} from '../../contract/world.js';
import { MaildirWorld } from './world.js';

const guid = '0123456789abcdef0123456789abcdef';
const message = 'Subject: one\n\nbody\n';

async function prepared(view: MailboxView, seq: number): Promise<number> {
  await view.prepare([seq], { size: true }, never);
  return view.sizeAt(seq);
}

/** Long enough ago for mtimes to be believed. */
async function age(folder: string): Promise<void> {
  const old = new Date(Date.now() - 60_000);
  for (const name of ['cur', 'new']) await utimes(join(folder, name), old, old);
}

function collectingLogger(lines: string[]): Logger {
  const note = (event: string): number => lines.push(event);
  return { ...silentLogger, error: note, warning: note, child: () => collectingLogger(lines) };
}

describe('A Maildir made by Dovecot', () => {
  it('keeps UIDVALIDITY, UIDs, flags, keywords and GUID', async () => {
    await using world = await MaildirWorld.make();
    await world.foreign('box', {
      'dovecot-uidlist': `3 V1719900000 N9 G${guid} P%u\n2 :1700000001.M1P1.h,S=19,W=22\n5 P77 :1700000002.M1P1.h,S=19,W=22\n7 :1700000003.M1P1.h\n`,
      'dovecot-keywords': '0 $Forwarded\n1 Work\n',
      'cur/1700000001.M1P1.h,S=19,W=22:2,FSb': message,
      'cur/1700000002.M1P1.h,S=19,W=22:2,': message,
      'new/1700000003.M1P1.h': message,
      'new/1700000004.M1P1.h': message,
    });
    const mailbox = await world.open('box');
    await using view = await openView(mailbox);
    assert.equal(mailbox.uidValidity, 1719900000);
    assert.equal(mailbox.guid, guid);
    assert.deepEqual(uidsOf(view), [2, 5, 7, 9]);
    assert.equal(view.systemFlagsAt(1), seen | flagged);
    assert.deepEqual(view.keywordsAt(1), ['Work']);
    assert.equal(view.recentCount, 2);
    const list = await readFile(join(world.paths('box').mailDir, 'dovecot-uidlist'), 'latin1');
    assert.ok(list.startsWith(`3 V1719900000 N9 G${guid} P%u\n`));
    assert.ok(list.includes('5 P77 :1700000002.M1P1.h,S=19,W=22\n'));
    assert.ok(list.endsWith('9 :1700000004.M1P1.h\n'));
  });

  it('is read with CRLF line ends and its size as the client sees it', async () => {
    await using world = await MaildirWorld.make();
    await world.foreign('box', { 'cur/1700000001.M1P1.h,S=19,W=22:2,S': message, 'cur/1700000002.M1P1.h:2,S': message });
    await using view = await openView(await world.open('box'));
    for (const seq of [1, 2]) {
      assert.equal(await prepared(view, seq), 22);
      assert.equal((await contentOf(view, seq)).toString(), message.replaceAll('\n', '\r\n'));
    }
  });

  it('of version 1 is upgraded without changing a UID', async () => {
    await using world = await MaildirWorld.make();
    const folder = await world.foreign('box', {
      'dovecot-uidlist': '1 1719900000 4\n1 1700000001.M1P1.h\n3 1700000002.M1P1.h\n',
      'cur/1700000001.M1P1.h:2,': message,
      'cur/1700000002.M1P1.h:2,': message,
    });
    await using view = await openView(await world.open('box'));
    assert.deepEqual(uidsOf(view), [1, 3]);
    assert.match(await readFile(join(folder, 'dovecot-uidlist'), 'latin1'), /^3 V1719900000 N4 G[0-9a-f]{32}\n1 :/);
  });
});

describe('A Maildir that only delivery agents have used', () => {
  for (const count of [0, 2]) {
    it(`gets a dovecot-uidlist with ${count} messages`, async () => {
      await using world = await MaildirWorld.make();
      const names = Array.from({ length: count }, (_, index) => `170000000${index}.M1P1.h`);
      const folder = await world.foreign('box', Object.fromEntries(names.map((name) => [`new/${name}`, message])));
      const mailbox = await world.open('box');
      assert.ok(mailbox.uidValidity > 0);
      const list = await readFile(join(folder, 'dovecot-uidlist'), 'latin1');
      assert.ok(list.startsWith(`3 V${mailbox.uidValidity} N1 G${mailbox.guid}\n`));
      assert.equal(list.split('\n').length, count + 2);
    });
  }
});

describe('Changes by other programs', () => {
  async function opened(count = 3): Promise<{ world: MaildirWorld; view: MailboxView; folder: string }> {
    const world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    await fill(mailbox, count, { flags: flagged });
    const view = await openView(mailbox);
    const folder = world.paths('box').mailDir;
    return { world, view, folder };
  }
  /** In order of arrival: microseconds in names have no leading zeros. */
  const files = async (folder: string): Promise<string[]> =>
    (await readdir(join(folder, 'cur'))).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));

  it('in flags are seen', async () => {
    const { world, view, folder } = await opened();
    await using _world = world;
    const [first = ''] = await files(folder);
    await rename(join(folder, 'cur', first), join(folder, 'cur', first.replace(':2,F', ':2,ST')));
    assert.deepEqual((await sync(view)).flagsChanged, [1]);
    assert.equal(view.systemFlagsAt(1) & 31, seen | deleted);
  });

  it('that remove a message are seen, also when it is read first', async () => {
    const { world, view, folder } = await opened();
    await using _world = world;
    const [first = '', second = ''] = await files(folder);
    await unlink(join(folder, 'cur', first));
    await unlink(join(folder, 'cur', second));
    await assert.rejects(view.openMessage(2, never), { code: 'expunged' });
    assert.deepEqual((await sync(view)).expunged, [
      { seq: 1, uid: 1 },
      { seq: 1, uid: 2 },
    ]);
  });

  it('that rename a message do not hide it from a reader or a flag change', async () => {
    const { world, view, folder } = await opened();
    await using _world = world;
    const [first = '', second = ''] = await files(folder);
    await rename(join(folder, 'cur', first), join(folder, 'cur', first.replace(':2,F', ':2,FS')));
    assert.match((await contentOf(view, 1)).toString(), /number 1/);
    await rename(join(folder, 'cur', second), join(folder, 'cur', second.replace(':2,F', ':2,FS')));
    assert.deepEqual(await addFlags(view, [2], deleted), { modified: [], expunged: [] });
    assert.equal(view.systemFlagsAt(2) & 31, flagged | seen | deleted);
  });

  it('that put messages into new/ and cur/ are seen in order of arrival', async () => {
    const { world, view, folder } = await opened(1);
    await using _world = world;
    await writeFile(join(folder, 'new/1700000009.M5P1.h'), message);
    await writeFile(join(folder, 'cur/1700000008.M5P1.h:2,S'), message);
    assert.equal((await sync(view)).exists, 3);
    assert.equal(view.guidAt(2), '1700000008.M5P1.h');
    assert.equal(view.guidAt(3), '1700000009.M5P1.h');
    assert.deepEqual(await readdir(join(folder, 'new')), []);
  });

  it('wake an idle session', async () => {
    const { world, view, folder } = await opened(1);
    await using _world = world;
    const { called, stop } = nextCall((onChange) => view.watch(onChange));
    await writeFile(join(folder, 'tmp/x'), message);
    await rename(join(folder, 'tmp/x'), join(folder, 'new/1700000009.M5P1.h'));
    await called;
    stop();
    assert.equal((await sync(view)).exists, 2);
  });

  it('that delete dovecot-uidlist change no UID while the index is there', async () => {
    const { world, view, folder } = await opened();
    await using _world = world;
    const { uidValidity } = view.mailbox;
    await rm(join(folder, 'dovecot-uidlist'));
    await sync(view);
    await world.restart();
    const mailbox = await world.open('box');
    await using again = await openView(mailbox);
    assert.equal(mailbox.uidValidity, uidValidity);
    assert.deepEqual(uidsOf(again), [1, 2, 3]);
    assert.match(await readFile(join(folder, 'dovecot-uidlist'), 'latin1'), new RegExp(`^3 V${uidValidity} N4 `));
  });

  it('that delete dovecot-uidlist and the index give a new UIDVALIDITY, larger than the old one', async () => {
    const { world, view, folder } = await opened();
    await using _world = world;
    const { uidValidity } = view.mailbox;
    await world.restart();
    for (const file of ['dovecot-uidlist', 'roost.index', 'roost.index.log']) await rm(join(folder, file));
    const mailbox = await world.open('box');
    assert.ok(mailbox.uidValidity > uidValidity);
  });

  it('that break a line of dovecot-uidlist change no UID, and are logged once', async () => {
    const { world, folder } = await opened();
    await using _world = world;
    await world.restart();
    const list = await readFile(join(folder, 'dovecot-uidlist'), 'latin1');
    await writeFile(join(folder, 'dovecot-uidlist'), list.replace('\n2 :', '\nx :'));
    const lines: string[] = [];
    const driver = world.newDriver({ log: collectingLogger(lines) });
    const options = {
      name: 'box',
      quota: unlimitedQuota,
      isReadOnly: false,
      log: collectingLogger(lines),
    };
    const mailbox = await driver.open(world.paths('box'), options, never);
    await using again = await openView(mailbox);
    assert.deepEqual(uidsOf(again), [1, 2, 3]);
    assert.deepEqual(lines, ['maildir.broken-uidlist']);
    assert.equal(await readFile(join(folder, 'dovecot-uidlist'), 'latin1'), list.replace(/N\d+/, 'N4'));
    await driver.close();
  });

  it('that bring back an expunged message give it a new UID', async () => {
    const { world, view, folder } = await opened(2);
    await using _world = world;
    const [first = ''] = await files(folder);
    await rename(join(folder, 'cur', first), join(folder, 'away'));
    await sync(view);
    await rename(join(folder, 'away'), join(folder, 'cur', first));
    await sync(view);
    assert.deepEqual(uidsOf(view), [2, 3]);
  });

  it('that leave one file under two names are put right', async () => {
    const { world, view, folder } = await opened(1);
    await using _world = world;
    const [first = ''] = await files(folder);
    await link(join(folder, 'cur', first), join(folder, 'cur', first.replace(':2,F', ':2,FS')));
    await sync(view);
    assert.equal(view.count, 1);
  });

  it('that leave two messages with one base name give each a UID', async () => {
    const { world, view, folder } = await opened(1);
    await using _world = world;
    const [first = ''] = await files(folder);
    await writeFile(join(folder, 'cur', first.replace(':2,F', ':2,FS')), 'Subject: other\r\n\r\n');
    await sync(view);
    await sync(view);
    assert.equal(view.count, 2);
  });

  it('with names of other programs are served', async () => {
    await using world = await MaildirWorld.make();
    const folder = await world.foreign('box', {
      'cur/foreign': message,
      'cur/with space:2,S': message,
      'new/.hidden': 'x',
      'cur/line\nend:2,S': message,
    });
    await writeFile(Buffer.concat([Buffer.from(`${folder}/cur/`), Buffer.from([0xe9, 0xff]), Buffer.from(':2,S')]), message);
    await using view = await openView(await world.open('box'));
    assert.equal(view.count, 4);
    for (let seq = 1; seq <= 4; seq += 1) assert.equal((await contentOf(view, seq)).toString(), message.replaceAll('\n', '\r\n'));
    await addFlags(view, [1, 2, 3, 4], flagged);
    await world.restart();
    await using again = await openView(await world.open('box'), true);
    assert.deepEqual(uidsOf(again), [1, 2, 3, 4]);
    assert.equal(again.systemFlagsAt(4) & flagged, flagged);
  });

  it('with wrong sizes in names are served right and corrected under the same UID', async () => {
    await using world = await MaildirWorld.make();
    const folder = await world.foreign('box', { 'cur/1700000001.M1P1.h,S=5,W=5:2,S': message });
    await age(folder);
    await using view = await openView(await world.open('box'));
    assert.equal((await contentOf(view, 1)).toString(), message.replaceAll('\n', '\r\n'));
    await world.driver.close();
    assert.deepEqual(await readdir(join(folder, 'cur')), ['1700000001.M1P1.h:2,S']);
    await world.restart();
    await using again = await openView(await world.open('box'), true);
    assert.deepEqual(uidsOf(again), [1]);
    assert.equal(await prepared(again, 1), 22);
  });

  it('in letters of other programs stay in the name', async () => {
    await using world = await MaildirWorld.make();
    const folder = await world.foreign('box', { 'cur/1700000001.M1P1.h:2,PXz,extra': message });
    await using view = await openView(await world.open('box'));
    await addFlags(view, [1], seen, ['Work']);
    assert.deepEqual(await readdir(join(folder, 'cur')), ['1700000001.M1P1.h:2,PSXaz,extra']);
    assert.equal(await readFile(join(folder, 'dovecot-keywords'), 'latin1'), '0 Work\n');
  });
});

describe('Saving to a Maildir', () => {
  it('stores octets as received, with bare line feeds, NUL and no last line end', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    const content = Buffer.from('Subject: x\n\r\n\0a\nb\r\nno end', 'latin1');
    await append(mailbox, content, { dateMs: 1_600_000_000_000 });
    await using view = await openView(mailbox);
    assert.deepEqual(await contentOf(view, 1), content);
    const folder = world.paths('box').mailDir;
    const [name = ''] = await readdir(join(folder, 'cur'));
    assert.match(name, new RegExp(`^\\d+\\.M\\d+P\\d+R[0-9a-f]{12}\\.[^,]+,S=${content.length},W=${content.length}:2,$`));
    assert.deepEqual(await readFile(join(folder, 'cur', name)), content);
    assert.equal((await stat(join(folder, 'cur', name))).mtimeMs, 1_600_000_000_000);
  });

  it('puts a message without flags into new/ and one with flags into cur/', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    await append(mailbox);
    await append(mailbox, crlfMessage, { flags: seen, keywords: ['$Label1'] });
    const folder = world.paths('box').mailDir;
    assert.equal((await readdir(join(folder, 'new'))).length, 1);
    assert.match((await readdir(join(folder, 'cur')))[0] ?? '', /:2,Sa$/);
  });

  it('keeps more than 26 keywords, those without a letter in the index', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    const keywords = Array.from({ length: 40 }, (_, index) => `k${index}`);
    await append(mailbox, crlfMessage, { keywords });
    {
      await using view = await openView(mailbox);
      assert.deepEqual([...view.keywordsAt(1)].sort(), [...keywords].sort());
      await addFlags(view, [1], seen);
    }
    await world.restart();
    await using view = await openView(await world.open('box'));
    assert.deepEqual([...view.keywordsAt(1)].sort(), [...keywords].sort());
  });

  it('copies by hard link and moves by rename', async () => {
    await using world = await MaildirWorld.make();
    const source = await world.create('box');
    const target = await world.create('other');
    await append(source, crlfMessage, { flags: seen });
    await using view = await openView(source);
    const inodes = async (name: string): Promise<number[]> => {
      const folder = join(world.paths(name).mailDir, 'cur');
      return Promise.all((await readdir(folder)).map(async (file) => (await stat(join(folder, file))).ino));
    };
    const [inode] = await inodes('box');
    await view.copy([1], target, never);
    assert.deepEqual(await inodes('other'), [inode]);
    await view.move([1], target, never);
    assert.deepEqual(await inodes('box'), []);
    assert.deepEqual(await inodes('other'), [inode, inode]);
  });

  it('leaves nothing behind when a folder cannot be written', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    const folder = world.paths('box').mailDir;
    // A file in the place of new/ fails every rename into it, for root as well.
    await rm(join(folder, 'new'), { recursive: true });
    await writeFile(join(folder, 'new'), '');
    await assert.rejects(append(mailbox), { name: 'StorageError' });
    // Beside the name of the process that locks the list.
    assert.deepEqual(
      (await readdir(join(folder, 'tmp'))).filter((name) => !name.endsWith('.lock')),
      [],
    );
    await unlink(join(folder, 'new'));
    await mkdir(join(folder, 'new'));
    assert.equal(await append(mailbox), 1);
  });

  it('reports a full disk as no-space and leaves no file', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    const folder = world.paths('box').mailDir;
    // /dev/full takes the place of the message: every write to it fails with ENOSPC.
    const { TemporaryMessage } = await import('#storage/maildir/message-writer.js');
    const { StorageError } = await import('#storage/errors.js');
    const { MaildirMailbox } = await import('#storage/maildir/mailbox.js');
    assert.ok(mailbox instanceof MaildirMailbox);
    const file = new TemporaryMessage(
      mailbox.box,
      { seconds: 0, nowMs: undefined },
      { isKept: true, folder: undefined, path: '/dev/full' },
    );
    await file.write(Buffer.alloc(10));
    await assert.rejects(file.end(), (error) => error instanceof StorageError && error.code === 'no-space');
    assert.deepEqual(await readdir(join(folder, 'tmp')), []);
  });
});

describe('A mailbox deleted by another program', () => {
  it('is told to its sessions as gone', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    await append(mailbox);
    await using view = await openView(mailbox);
    const { called, stop } = nextCall((onChange) => view.watch(onChange));
    // The index may just be writing into it.
    await rm(world.paths('box').mailDir, { recursive: true, maxRetries: 20, retryDelay: 10 });
    await called;
    stop();
    await assert.rejects(sync(view), { code: 'not-found' });
  });
});
