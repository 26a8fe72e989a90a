// Every file system call that can fail does, once and several times in a row: the store answers with a StorageError, keeps what it acknowledged,
// leaves no part of a message in new/ or cur/, and works again afterwards, in the same process and in a fresh one.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { StorageError } from '#storage/errors.js';
import type { Mailbox, MailboxView } from '#storage/mailbox.js';
import { plainRenames } from '#storage/maildir/folder-renames.js';
import type { MaildirOptions } from '#storage/maildir/options.js';
import { poolSyncs } from '#util/disk-syncs.js';
import { nativeUnnamedFiles } from '#util/unnamed-files.js';
import type { WriteOut } from '#util/write-out.js';
import { addMessage, append, contentOf, deleted, flagged, flagsAt, never, openView, seen, sync } from '../../contract/world.js';
import { FailingFiles, type Fault } from '../../support/failing-files.js';
import { MaildirWorld } from './world.js';

const files = new FailingFiles(join(tmpdir(), 'roost-maildir-'));
files.install();
after(() => files.disarm());

const textOf = (name: string): string => `Subject: ${name}\r\n\r\n${name.repeat(name === big ? 50_000 : 50)}\r\n`;
const writeOut: WriteOut = async (fd) => {
  await setImmediate();
  const error = files.check('sync_file_range', fd);
  if (error !== undefined) throw error;
};
/** More than is written at once. */
const big = 'large';

/** Every how manieth call fails in a run of its own: each with ROOST_FAULTS=all, which takes a minute. */
const stride = process.env['ROOST_FAULTS'] === 'all' ? 1 : 5;

/** What is known after each step: where a message is, and its flags; undefined where a failed step leaves it open. */
interface Known {
  uid: number | undefined;
  boxes: readonly string[];
  flags: number | undefined;
  /** How many files of it there may be at most. */
  most: number;
}

/** The message and where in the store it came from, on one line. */
function storeFrames(error: Error): string {
  const frames = (error.stack ?? '').split('\n').filter((line) => line.includes('/src/'));
  return `${error.message} in ${frames
    .slice(0, 3)
    .map((line) => line.trim().replace(/\S*\/src\//, ''))
    .join(' ')}`;
}

class Story {
  readonly known = new Map<string, Known>();
  readonly world: MaildirWorld;
  readonly #a: Mailbox;
  readonly #b: Mailbox;
  readonly outcomes: string[] = [];

  constructor(world: MaildirWorld, a: Mailbox, b: Mailbox) {
    this.world = world;
    this.#a = a;
    this.#b = b;
  }

  /** Runs one operation; only a StorageError may end it early. */
  async #try(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      this.outcomes.push(`${name}: done`);
    } catch (error) {
      assert.ok(error instanceof StorageError, `${name} ended with ${error instanceof Error ? storeFrames(error) : String(error)}`);
      this.outcomes.push(`${name}: ${error.code}`);
    }
  }

  async #save(kind: 'append' | 'deliver', names: readonly string[]): Promise<void> {
    // Where the folder could not be made durable, the whole message may stay.
    for (const name of names) this.known.set(name, { uid: undefined, boxes: [], flags: undefined, most: 1 });
    await this.#try(`${kind} ${names.map((name) => name.slice(0, 5)).join()}`, async () => {
      await using transaction = this.#a.beginAppend(kind);
      for (const name of names) await addMessage(transaction, textOf(name), { flags: kind === 'append' ? seen : 0 });
      const { uids } = await transaction.commit(never);
      for (const [index, name] of names.entries())
        this.known.set(name, { uid: uids[index], boxes: ['A'], flags: kind === 'append' ? seen : 0, most: 1 });
    });
  }

  #seqOf(view: MailboxView, name: string): number {
    const uid = this.known.get(name)?.uid;
    return uid === undefined ? 0 : view.seqOf(uid);
  }

  async run(): Promise<void> {
    await this.#save('append', ['one', 'two']);
    await this.#save('append', ['three', big]);
    await this.#save('deliver', ['four']);
    let view: MailboxView | undefined;
    await this.#try('open', async () => {
      view = await openView(this.#a);
    });
    if (view === undefined) return;
    const opened = view;
    await this.#try('sync', async () => void (await sync(opened)));
    const one = this.known.get('one');
    const first = this.#seqOf(opened, 'one');
    if (one !== undefined && first > 0)
      await this.#try('store', async () => {
        const change = { mode: 'replace', flags: { system: flagged, keywords: ['kw'] }, unchangedSince: undefined } as const;
        one.flags = undefined;
        await opened.store([first], change, { silent: false }, never);
        one.flags = flagged;
      });
    const two = this.known.get('two');
    const second = this.#seqOf(opened, 'two');
    if (two !== undefined && second > 0)
      await this.#try('copy', async () => {
        two.most = 2;
        await opened.copy([second], this.#b, never);
        two.boxes = ['A', 'B'];
      });
    const three = this.known.get('three');
    const third = this.#seqOf(opened, 'three');
    if (three !== undefined && third > 0)
      await this.#try('move', async () => {
        three.boxes = ['A|B'];
        await opened.move([third], this.#b, never);
        three.boxes = ['B'];
      });
    const last = this.#seqOf(opened, big);
    const large = this.known.get(big);
    if (large !== undefined && last > 0)
      await this.#try('expunge', async () => {
        large.boxes = [];
        const mark = { mode: 'add', flags: { system: deleted, keywords: [] }, unchangedSince: undefined } as const;
        large.flags = undefined;
        await opened.store([last], mark, { silent: true }, never);
        await opened.expunge([opened.uidAt(last)], never);
        large.most = 0;
      });
    await opened[Symbol.asyncDispose]();
  }

  /** By box, in files: the name of each message. */
  #onDisk(box: string): string[] {
    const { mailDir } = this.world.paths(box);
    return ['cur', 'new'].flatMap((folder) =>
      readdirSync(join(mailDir, folder)).map((file) => {
        const text = readFileSync(join(mailDir, folder, file), 'latin1');
        const name = [...this.known.keys(), 'later'].find((known) => textOf(known) === text);
        assert.ok(name, `${box}/${folder}/${file} is not a whole message: ${text.length} octets`);
        return name;
      }),
    );
  }

  async check(): Promise<void> {
    const places = new Map([...this.known.keys(), 'later'].map((name) => [name, [] as string[]]));
    for (const box of ['A', 'B']) {
      for (const name of this.#onDisk(box)) places.get(name)?.push(box);
    }
    for (const [name, { boxes, most }] of this.known) {
      const found = places.get(name) ?? [];
      const label = name.slice(0, 5);
      assert.ok(found.length <= Math.max(most, boxes.length), `${label} is in ${found.join(' and ')}`);
      for (const box of boxes)
        assert.ok(
          box.split('|').some((one) => found.includes(one)),
          `${label} is not in ${box} but in (${found.join()})`,
        );
    }
    await this.#checkNumbers();
  }

  /** The same process goes on, and a fresh one sees the same. */
  async #checkNumbers(): Promise<void> {
    const uid = await append(this.#a, textOf('later'));
    const states: string[][] = [];
    const fresh = this.world.newDriver();
    try {
      for (const box of [this.#a, await this.world.open('A', {}, fresh)]) {
        await using view = await openView(box);
        await sync(view);
        assert.ok(view.seqOf(uid) > 0);
        const state: string[] = [];
        for (let seq = 1; seq <= view.count; seq++) {
          const text = (await contentOf(view, seq)).toString('latin1');
          state.push(`${view.uidAt(seq)} ${flagsAt(view, seq)} ${view.keywordsAt(seq).join()} ${text.slice(9, 14)}`);
          for (const [name, known] of this.known) {
            if (textOf(name) !== text || known.uid === undefined || !known.boxes.includes('A')) continue;
            assert.equal(view.uidAt(seq), known.uid, `UID of ${name}`);
            if (known.flags !== undefined) assert.equal(flagsAt(view, seq), known.flags, `flags of ${name}`);
          }
        }
        states.push(state);
      }
      assert.deepEqual(states[1], states[0], 'a fresh process sees something else');
    } finally {
      await fresh.close();
    }
  }
}

/** @returns the number of calls that could have failed */
async function play(fault: Fault | undefined, ways: Pick<MaildirOptions, 'writeOut' | 'unnamedFiles' | 'writesNameLast'>): Promise<number> {
  await using world = await MaildirWorld.make({
    fsync: 'optimized',
    lockTimeoutMs: 1_000,
    ...ways,
    syncs: () => poolSyncs,
    openRenames: plainRenames,
  });
  const [a, b] = [await world.create('A'), await world.create('B')];
  const story = new Story(world, a, b);
  files.arm(fault);
  const { failed } = files;
  let calls = 0;
  try {
    await story.run();
    calls = files.calls;
    files.disarm();
    await story.check();
  } catch (error) {
    throw new Error(
      `call ${fault?.at} (${failed.join('; ')}), ${story.outcomes.join(', ')}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
  return calls;
}

const unnamed = nativeUnnamedFiles();
const noUnnamedFiles = 'no koffi, or another platform';
const unnamedFiles = unnamed === undefined ? undefined : files.unnamed(unnamed);

for (const [how, ways] of [
  [
    'with messages sent out before they get their names',
    { writeOut: () => writeOut, unnamedFiles: () => undefined, writesNameLast: () => false },
  ],
  [
    'with messages synced before they get their names',
    { writeOut: () => undefined, unnamedFiles: () => undefined, writesNameLast: () => false },
  ],
  [
    'with messages synced without a name before',
    { writeOut: () => undefined, unnamedFiles: () => unnamedFiles, writesNameLast: () => false },
  ],
  [
    'with messages synced under their only name, made without one,',
    { writeOut: () => undefined, unnamedFiles: () => unnamedFiles, writesNameLast: () => true },
  ],
  [
    'with messages sent out without a name before',
    { writeOut: () => writeOut, unnamedFiles: () => unnamedFiles, writesNameLast: () => false },
  ],
] as const) {
  describe(`a Maildir on a failing disk, ${how},`, { skip: how.includes('without') && unnamed === undefined && noUnnamedFiles }, () => {
    for (const [title, errno, times] of [
      ['every call that changes something ends with EIO once', 'EIO', 1],
      ['every call that takes space ends with ENOSPC once', 'ENOSPC', 1],
      ['the disk is full for 5 calls', 'ENOSPC', 5],
      ['the disk is full from any call on until space is made', 'ENOSPC', 1_000_000],
    ] as const) {
      it(`keeps what it acknowledged when ${title}`, async () => {
        const calls = await play(undefined, ways);
        assert.ok(calls > 20, `${calls} calls`);
        const failures: string[] = [];
        for (let at = 1 + (times % stride); at <= calls; at += stride) {
          try {
            await play({ at, times, errno }, ways);
          } catch (error) {
            failures.push(error instanceof Error ? error.message : String(error));
          }
        }
        assert.deepEqual(failures, []);
      });
    }
  });
}
