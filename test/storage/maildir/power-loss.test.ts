// The power goes right after something was acknowledged: it is there, under the UID that was told.
import assert from 'node:assert/strict';
import { fstatSync, mkdtempSync, rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { silentLogger } from '#log/logger.js';
import { unlimitedQuota } from '#storage/driver.js';
import type { Mailbox, MailboxView } from '#storage/mailbox.js';
import { createMaildirDriver } from '#storage/maildir/driver.js';
import type { FsyncMode, MaildirOptions } from '#storage/maildir/options.js';
import { type DiskSyncs, poolSyncs } from '#util/disk-syncs.js';
import { nativeUnnamedFiles } from '#util/unnamed-files.js';
import type { WriteOut } from '#util/write-out.js';
import {
  addFlags,
  addMessage,
  append,
  contentOf,
  expunge,
  flagged,
  flagsAt,
  never,
  openView,
  seen,
  sync,
  uidsOf,
} from '../../contract/world.js';
import { PowerLoss, type Promised } from '../../support/power-loss.js';
import { MaildirWorld } from './world.js';

let model: PowerLoss | undefined;
PowerLoss.install(() => model);
after(() => {
  model = undefined;
});

const textOf = (name: string): string => `Subject: ${name}\r\n\r\n${name.repeat(300)}\r\n`;

interface Found {
  readonly uidValidity: number;
  /** UID, flags and subject of each message. */
  readonly messages: readonly string[];
}

/** A folder with what the power leaves if it goes now, and the file system has just written its journal by itself. */
function leftNow(): string {
  const folder = mkdtempSync(join(tmpdir(), 'roost-power-'));
  model?.commit();
  model?.crash(folder);
  return folder;
}

/** What the next server finds. */
async function afterPowerLoss(world: MaildirWorld, names: readonly string[]): Promise<Map<string, Found>> {
  const folder = await mkdtemp(join(tmpdir(), 'roost-power-'));
  model?.crash(folder);
  return foundIn(folder, world, names);
}

/** Removes the folder. */
async function foundIn(folder: string, world: MaildirWorld, names: readonly string[]): Promise<Map<string, Found>> {
  const driver = createMaildirDriver({ log: silentLogger, fsync: 'never' });
  try {
    const found = new Map<string, Found>();
    for (const name of names) {
      const mailDir = world.paths(name).mailDir.replace(world.root, folder);
      const paths = { mailDir, controlDir: mailDir, indexDir: mailDir, accountControlDir: folder };
      const mailbox = await driver.open(paths, { name, quota: unlimitedQuota, isReadOnly: false, log: silentLogger }, never);
      await using view = await openView(mailbox, true);
      const messages: string[] = [];
      for (let seq = 1; seq <= view.count; seq += 1) {
        const text = (await contentOf(view, seq)).toString('latin1');
        const subject = /^Subject: (.*)\r\n/.exec(text)?.[1] ?? '';
        assert.equal(text, textOf(subject), `UID ${view.uidAt(seq)} of ${name} is not whole`);
        messages.push(`${view.uidAt(seq)} ${flagsAt(view, seq)} ${subject}`);
      }
      found.set(name, { uidValidity: mailbox.uidValidity, messages });
    }
    return found;
  } finally {
    await driver.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function deliver(mailbox: Mailbox, name: string, flags = 0): Promise<void> {
  await using transaction = mailbox.beginAppend('deliver');
  await addMessage(transaction, textOf(name), { flags });
  await transaction.commit(never);
}

/** Tells the model, and works on every file system. */
const writeOut: WriteOut = async (fd) => {
  await setImmediate();
  model?.sentOut(fd);
};

/** How messages are made where a test does not say it. */
let unnamedFiles: MaildirOptions['unnamedFiles'] = () => undefined;

async function withModel(
  fsync: FsyncMode,
  work: (world: MaildirWorld, a: Mailbox, b: Mailbox) => Promise<void>,
  options: Partial<MaildirOptions> = { writeOut: () => writeOut },
  promised: Promised = 'all-names',
): Promise<void> {
  await using world = await MaildirWorld.make({ fsync, unnamedFiles, writesNameLast: () => false, syncs: () => poolSyncs, ...options });
  const [a, b] = [await world.create('A'), await world.create('B')];
  model = new PowerLoss(world.root, promised);
  try {
    await work(world, a, b);
  } finally {
    model = undefined;
  }
}

async function messagesOf(world: MaildirWorld, name: string): Promise<readonly string[]> {
  return (await afterPowerLoss(world, [name])).get(name)?.messages ?? [];
}

for (const [how, files] of [
  ['in tmp/', (): undefined => undefined],
  ['without a name', nativeUnnamedFiles],
] as const)
  describe(`When the power goes, a Maildir whose messages are made ${how}`, {
    skip: how !== 'in tmp/' && nativeUnnamedFiles() === undefined && 'no koffi, or another platform',
  }, () => {
    before(() => {
      unnamedFiles = files;
    });

    it('has what APPEND acknowledged, with its UID and flags', () =>
      withModel('optimized', async (world, a) => {
        const told: string[] = [];
        for (const [index, name] of ['one', 'two', 'three'].entries()) {
          const flags = index === 1 ? seen : 0;
          told.push(`${await append(a, textOf(name), { flags })} ${flags} ${name}`);
          const found = await afterPowerLoss(world, ['A']);
          assert.deepEqual(found.get('A'), { uidValidity: a.uidValidity, messages: told });
        }
      }));

    it('waits for one fsync only, where the file system keeps the order', () =>
      withModel('optimized', async (world, a, b) => {
        const syncsOf = async (work: () => Promise<unknown>): Promise<number> => {
          const before = model?.syncs ?? 0;
          await work();
          return (model?.syncs ?? 0) - before;
        };
        assert.equal(await syncsOf(() => append(a, textOf('one'))), 1);
        assert.equal(await syncsOf(() => append(a, textOf('two'), { flags: seen })), 1);
        await using view = await openView(a);
        assert.equal(await syncsOf(() => view.copy([1, 2], b, never)), 1);
        assert.equal(await syncsOf(() => deliver(b, 'three')), 1);
        assert.deepEqual(await messagesOf(world, 'B'), ['1 0 one', `2 ${seen} two`, '3 0 three']);
      }));

    for (const [how, options] of [
      ['sent to the device', { writeOut: () => writeOut }],
      ['fsynced', { writeOut: () => undefined }],
    ] as const) {
      it(`shows no part of a message that was being saved, where octets are ${how} before the name`, () =>
        withModel(
          'optimized',
          async (world, a) => {
            const left: string[] = [];
            if (model !== undefined) model.onSync = () => left.push(leftNow());
            await append(a, textOf('one'), { flags: seen });
            await deliver(a, 'two');
            await using transaction = a.beginAppend('append');
            const many = Array.from({ length: 20 }, (_, index) => `number ${index}`);
            for (const name of many) await addMessage(transaction, textOf(name));
            await transaction.commit(never);
            if (model !== undefined) model.onSync = undefined;
            assert.ok(left.length > 4, `${left.length} syncs`);
            for (const folder of left) await foundIn(folder, world, ['A']);
            const subjects = (await messagesOf(world, 'A')).map((message) => message.split(' ').slice(2).join(' '));
            assert.deepEqual(subjects.sort(), ['one', 'two', ...many].sort());
          },
          options,
        ));
    }

    for (const [what, options, promised] of [
      ['one file or folder alone', { writeOut: () => undefined, unnamedFiles: () => undefined }, 'file'],
      ['a file and its own name', { writeOut: () => undefined, unnamedFiles: nativeUnnamedFiles }, 'own-name'],
      [
        'a file and then its own name',
        { writeOut: () => undefined, unnamedFiles: nativeUnnamedFiles, writesNameLast: () => true },
        'own-name',
      ],
    ] as const) {
      it(`has what was appended, copied and delivered where an fsync is about ${what}`, (test) => {
        if ('unnamedFiles' in options && nativeUnnamedFiles() === undefined) return test.skip('no koffi, or another platform');
        return withModel(
          'optimized',
          async (world, a, b) => {
            await append(a, textOf('one'));
            assert.deepEqual(await messagesOf(world, 'A'), ['1 0 one']);
            await append(a, textOf('two'), { flags: seen });
            assert.deepEqual(await messagesOf(world, 'A'), ['1 0 one', `2 ${seen} two`]);
            await using view = await openView(a, true);
            await view.copy([1, 2], b, never);
            assert.deepEqual(await messagesOf(world, 'B'), ['1 0 one', `2 ${seen} two`]);
            await Promise.all([deliver(a, 'three'), deliver(b, 'three')]);
            const found = await afterPowerLoss(world, ['A', 'B']);
            assert.deepEqual(found.get('A')?.messages, ['1 0 one', `2 ${seen} two`, '3 0 three']);
            assert.deepEqual(found.get('B')?.messages, ['1 0 one', `2 ${seen} two`, '3 0 three']);
            await using transaction = a.beginAppend('append');
            for (const name of ['four', 'five']) await addMessage(transaction, textOf(name));
            await Promise.all([transaction.commit(never), append(a, textOf('six')), deliver(a, 'seven')]);
            const names = (await messagesOf(world, 'A')).map((message) => message.split(' ')[2]);
            assert.deepEqual(names.sort(), ['five', 'four', 'one', 'seven', 'six', 'three', 'two']);
          },
          options,
          promised,
        );
      });
    }

    it('has what was delivered', () =>
      withModel('optimized', async (world, a) => {
        await deliver(a, 'one');
        assert.deepEqual(await messagesOf(world, 'A'), ['1 0 one']);
      }));

    it('has what was delivered to many at once, with an fsync for all who wait for one', () =>
      withModel('optimized', async (world, a, b) => {
        const boxes = [a, b, await world.create('C'), await world.create('D'), await world.create('E')];
        const names = ['A', 'B', 'C', 'D', 'E'];
        const before = model?.syncs ?? 0;
        await Promise.all(
          boxes.map(async (box, index) => {
            await deliver(box, `to ${names[index]}`);
            // Each as soon as it is told.
            assert.deepEqual(await messagesOf(world, names[index] ?? ''), [`1 0 to ${names[index]}`]);
          }),
        );
        assert.ok((model?.syncs ?? 0) - before < boxes.length, `${model?.syncs} syncs`);
      }));

    it('gives a delivered message no other UID than a client was told', () =>
      withModel('optimized', async (world, a) => {
        const names = ['one', 'two', 'three', 'four'];
        for (const name of names) await deliver(a, name);
        await using view: MailboxView = await openView(a);
        assert.deepEqual(uidsOf(view), [1, 2, 3, 4]);
        await expunge(view, [1]);
        // Makes the expunge durable, too.
        await deliver(a, 'five');
        assert.deepEqual(await messagesOf(world, 'A'), ['2 0 two', '3 0 three', '4 0 four', '5 0 five']);
        await sync(view);
        await deliver(a, 'six');
        assert.deepEqual(await messagesOf(world, 'A'), ['2 0 two', '3 0 three', '4 0 four', '5 0 five', '6 0 six']);
      }));

    it('has what COPY and MOVE acknowledged', () =>
      withModel('optimized', async (world, a, b) => {
        await append(a, textOf('one'));
        await append(a, textOf('two'), { flags: seen });
        await using view = await openView(a);
        await view.copy([1], b, never);
        assert.deepEqual(await messagesOf(world, 'B'), ['1 0 one']);
        await view.move([2], b, never);
        const found = await afterPowerLoss(world, ['A', 'B']);
        assert.deepEqual(found.get('B')?.messages, ['1 0 one', `2 ${seen} two`]);
        assert.deepEqual(found.get('A')?.messages, ['1 0 one']);
      }));

    it('has flags and expunges where mail_fsync is always', () =>
      withModel('always', async (world, a) => {
        for (const name of ['one', 'two', 'three']) await append(a, textOf(name));
        await using view = await openView(a);
        await addFlags(view, [1], flagged);
        assert.deepEqual(await messagesOf(world, 'A'), [`1 ${flagged} one`, '2 0 two', '3 0 three']);
        await expunge(view, [2]);
        assert.deepEqual(await messagesOf(world, 'A'), [`1 ${flagged} one`, '3 0 three']);
      }));

    it('is lost without fsync: the model forgets what it should', () =>
      withModel('never', async (world, a) => {
        await append(a, textOf('one'));
        assert.deepEqual(await messagesOf(world, 'A'), []);
      }));
  });

describe('When the power goes on a file system that writes a name after its file', {
  skip: nativeUnnamedFiles() === undefined && 'no koffi, or another platform',
}, () => {
  const options: Partial<MaildirOptions> = { writeOut: () => undefined, unnamedFiles: nativeUnnamedFiles, writesNameLast: () => true };

  async function syncsOf(work: () => Promise<unknown>): Promise<number> {
    const before = model?.syncs ?? 0;
    await work();
    return (model?.syncs ?? 0) - before;
  }

  it('a message alone has had one fsync, and is there', () =>
    withModel(
      'optimized',
      async (world, a) => {
        assert.equal(await syncsOf(() => append(a, textOf('one'))), 1);
        assert.equal(await syncsOf(() => deliver(a, 'two')), 1);
        assert.deepEqual(await messagesOf(world, 'A'), ['1 0 one', '2 0 two']);
      },
      options,
      'own-name',
    ));

  it('a message keeps the UID that was told, though the uidlist was not durable', () =>
    withModel(
      'optimized',
      async (world, a) => {
        const told: string[] = [];
        for (const name of ['one', 'two']) told.push(`${await append(a, textOf(name))} 0 ${name}`);
        // Comes before the next ones, and has not been told a UID when the power goes.
        await deliver(a, 'delivered');
        told.push(`${await append(a, textOf('three'), { flags: seen })} ${seen} three`);
        await deliver(a, 'delivered too');
        assert.deepEqual(told, ['1 0 one', '2 0 two', `3 ${seen} three`]);
        assert.deepEqual(await messagesOf(world, 'A'), [...told, '4 0 delivered', '5 0 delivered too']);
      },
      options,
      'own-name',
    ));

  it('no UID is given again once its message is gone', () =>
    withModel(
      'optimized',
      async (world, a) => {
        for (const name of ['one', 'two', 'three', 'four', 'five']) await append(a, textOf(name));
        await using view = await openView(a);
        await expunge(view, [4, 5]);
        // Make the expunge durable, too, wherever the file was.
        await deliver(a, 'six');
        await deliver(a, 'seven', seen);
        assert.deepEqual(await messagesOf(world, 'A'), ['1 0 one', '2 0 two', '3 0 three', '6 0 six', `7 ${seen} seven`]);
      },
      options,
      'own-name',
    ));

  it('no UID is given again once its message is in another mailbox', () =>
    withModel(
      'optimized',
      async (world, a, b) => {
        for (const name of ['one', 'two']) await append(a, textOf(name));
        await using view = await openView(a);
        await view.move([2], b, never);
        await deliver(a, 'three');
        await deliver(a, 'four', seen);
        assert.deepEqual(await messagesOf(world, 'A'), ['1 0 one', '3 0 three', `4 ${seen} four`]);
      },
      options,
      'own-name',
    ));

  it('messages that were taken out of new/ are not lost by what is saved there next', () =>
    withModel(
      'optimized',
      async (world, a) => {
        for (const name of ['one', 'two', 'three']) await deliver(a, name);
        await using view = await openView(a);
        await deliver(a, 'four');
        assert.deepEqual(await messagesOf(world, 'A'), ['1 0 one', '2 0 two', '3 0 three', '4 0 four']);
        await addFlags(view, [1], flagged);
        await sync(view);
        await append(a, textOf('five'));
        assert.deepEqual(
          (await messagesOf(world, 'A')).map((message) => message.split(' ')[2]),
          ['one', 'two', 'three', 'four', 'five'],
        );
      },
      options,
      'own-name',
    ));

  it('a copy of one message has its UID and the GUID of the original', () =>
    withModel(
      'optimized',
      async (world, a, b) => {
        await append(a, textOf('one'));
        await append(b, textOf('two'));
        await using view = await openView(a);
        await view.copy([1], b, never);
        assert.deepEqual(await messagesOf(world, 'B'), ['1 0 two', '2 0 one']);
      },
      options,
      'own-name',
    ));

  it('a message alone has been durable before it got its name where mail_fsync is always', () =>
    withModel(
      'always',
      async (_, a) => {
        assert.equal(await syncsOf(() => deliver(a, 'one')), 2);
      },
      options,
      'own-name',
    ));

  it('no part of a message shows, however many are saved and copied at once', () =>
    withModel(
      'optimized',
      async (world, a, b) => {
        const left: string[] = [];
        const look = (): void => {
          const folder = mkdtempSync(join(tmpdir(), 'roost-power-'));
          model?.crash(folder);
          left.push(folder);
        };
        assert.ok(model !== undefined);
        model.onSync = look;
        model.onSynced = look;
        await append(a, textOf('first'));
        await using view = await openView(a, true);
        const names = Array.from({ length: 12 }, (_, index) => `number ${index}`);
        await Promise.all([
          ...names.map((name, index) => (index % 2 === 0 ? deliver(a, name) : append(a, textOf(name)))),
          view.copy([1], b, never),
        ]);
        model.onSync = model.onSynced = undefined;
        assert.ok(left.length > 10, `${left.length} syncs`);
        for (const folder of left) await foundIn(folder, world, ['A', 'B']);
        const subjects = (await messagesOf(world, 'A')).map((message) => message.split(' ').slice(2).join(' '));
        assert.deepEqual(subjects.sort(), ['first', ...names].sort());
      },
      options,
      'own-name',
    ));

  it('a message that has just been named is copied and moved when it is durable', async () => {
    let held: Promise<void> | undefined;
    let release = (): void => undefined;
    const syncs: DiskSyncs = {
      file: async (fd) => {
        const until = held;
        // Folders are synced in the background, too.
        if (until !== undefined && fstatSync(fd).isFile()) {
          // The next one, of the target, does not wait.
          held = undefined;
          await until;
        }
        await poolSyncs.file(fd);
      },
      data: (fd) => poolSyncs.data(fd),
    };
    await withModel(
      'optimized',
      async (world, a, b) => {
        await append(a, textOf('first'));
        await using view = await openView(a);
        for (const [how, name] of [
          ['copy', 'second'],
          ['move', 'third'],
        ] as const) {
          held = new Promise((resolve) => {
            release = resolve;
          });
          const appended = append(a, textOf(name));
          let copied: Promise<unknown> | undefined;
          try {
            for (let turns = 0; uidsOf(view).length < (how === 'copy' ? 2 : 3); turns += 1) {
              assert.ok(turns < 10_000, 'the message does not show');
              await setImmediate();
              await sync(view);
            }
            let isTold = false;
            copied = view[how]([view.count], b, never).then(() => {
              isTold = true;
            });
            for (let turns = 0; turns < 50; turns += 1) await setImmediate();
            assert.equal(isTold, false, `${how} was told`);
          } finally {
            release();
          }
          await Promise.all([appended, copied]);
        }
        assert.deepEqual(await messagesOf(world, 'B'), ['1 0 second', '2 0 third']);
      },
      { ...options, syncs: () => syncs },
      'own-name',
    );
  });
});

for (const kind of ['append', 'deliver'] as const) {
  it(`a message (${kind}) whose octets do not reach the disk does not keep its name`, async () => {
    if (nativeUnnamedFiles() === undefined) return;
    let isBroken = false;
    const fail = (): Promise<void> => Promise.reject(Object.assign(new Error('EIO: i/o error, fsync'), { code: 'EIO' }));
    const syncs: DiskSyncs = {
      file: (fd) => (isBroken ? fail() : poolSyncs.file(fd)),
      data: (fd) => poolSyncs.data(fd),
    };
    await using world = await MaildirWorld.make({
      fsync: 'optimized',
      writeOut: () => undefined,
      unnamedFiles: nativeUnnamedFiles,
      writesNameLast: () => true,
      syncs: () => syncs,
    });
    const a = await world.create('A');
    await append(a, textOf('one'));
    isBroken = true;
    await using failing = a.beginAppend(kind);
    await addMessage(failing, textOf('two'));
    await assert.rejects(failing.commit(never));
    isBroken = false;
    await append(a, textOf('three'));
    await using view = await openView(a, true);
    await sync(view);
    const found: string[] = [];
    for (let seq = 1; seq <= view.count; seq += 1) found.push((await contentOf(view, seq)).toString('latin1'));
    assert.deepEqual(found, [textOf('one'), textOf('three')]);
  });
}
