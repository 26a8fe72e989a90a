// What a mailbox costs in memory: columns and file names while it is open, nothing for each message once it is closed.
import assert from 'node:assert/strict';
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { never, openView, sync } from '../../contract/world.js';
import { memoryFolder } from '../../support/memory-folder.js';
import { MaildirWorld } from './world.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const few = 2_000;
const many = 14_000;
/** One for each message would be seen; below it lies what V8 compiles meanwhile. */
const smallestObject = 40;
/** Beside its file name: UID, modseq, flags, sizes, dates, places in the cache. */
const mostBytesPerMessage = 64;
interface Used {
  /** Objects, code and what it keeps. */
  readonly heap: number;
  readonly buffers: number;
}

/** What is in use when it no longer falls: buffers are given back by a thread of their own. */
async function usedNow(): Promise<Used> {
  let [heap, buffers] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let unchanged = 0; unchanged < 5; unchanged += 1) {
    collect();
    await setTimeout(10);
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    if (heapUsed + arrayBuffers < heap + buffers - 10_000) unchanged = 0;
    heap = Math.min(heap, heapUsed);
    buffers = Math.min(buffers, arrayBuffers);
  }
  return { heap, buffers };
}

/** @returns octets of all file names */
function makeMaildir(folder: string, count: number): number {
  for (const sub of ['cur', 'new', 'tmp']) mkdirSync(join(folder, sub), { recursive: true });
  const content = 'From: a@example.org\r\nSubject: one\r\n\r\nHello\r\n';
  let first = '';
  let bytes = 0;
  for (let index = 0; index < count; index += 1) {
    const name = `${1_700_000_000 + index}.M${index}P1.host,S=${content.length},W=${content.length}:2,${index % 3 === 0 ? '' : 'S'}`;
    const path = join(folder, 'cur', name);
    bytes += name.length;
    // Fewer links than any file system allows.
    if (index % 10_000 === 0) {
      writeFileSync(path, content);
      first = path;
    } else linkSync(first, path);
  }
  return bytes;
}

/** Opens, lists and searches it, and closes it; what it costs meanwhile goes to `whileOpen`. */
async function use(world: MaildirWorld, name: string, whileOpen: () => Promise<void>): Promise<void> {
  const mailbox = await world.open(name);
  await using view = await openView(mailbox);
  await sync(view);
  let flags = 0;
  for (let seq = 1; seq <= view.count; seq += 1) flags |= view.systemFlagsAt(seq) | view.uidAt(seq) | view.keywordsAt(seq).length;
  assert.ok(flags > 0);
  await view.search({ kind: 'flags', system: 1 }, never);
  // What is left for later when a mailbox is opened counts as well.
  await view.prepare([1], { size: true }, never);
  await whileOpen();
  await view.search(
    {
      kind: 'and',
      queries: [
        { kind: 'sequence', ranges: [[1, few]] },
        { kind: 'header', field: 'subject', text: 'one' },
      ],
    },
    never,
  );
  await view.prepare([1, 2, 3], { envelope: true, size: true }, never);
}

const nothing = async (): Promise<void> => undefined;

describe('Memory', () => {
  for (const state of ['without an index', 'from its index'])
    it(`of a mailbox opened ${state} is at most ${mostBytesPerMessage} octets a message and the file names`, async () => {
      await using world = await MaildirWorld.make({ idleMailboxes: 1 }, memoryFolder());
      const sizes = [few, many] as const;
      const nameBytes = sizes.map((count) => makeMaildir(world.paths(`of${count}`).mailDir, count));
      // Compiles the code.
      for (let turn = 0; turn < 3; turn += 1) {
        makeMaildir(world.paths(`first${turn}`).mailDir, few);
        await use(world, `first${turn}`, nothing);
      }
      if (state === 'from its index') for (const count of sizes) await use(world, `of${count}`, nothing);
      const costs: Used[] = [];
      for (const count of sizes) {
        await world.restart();
        const before = await usedNow();
        await use(world, `of${count}`, async () => {
          const { heap, buffers } = await usedNow();
          costs.push({ heap: heap - before.heap, buffers: buffers - before.buffers - (nameBytes[costs.length] ?? 0) });
        });
      }
      const [first, second] = costs;
      assert.ok(first !== undefined && second !== undefined);
      const inBuffers = (second.buffers - first.buffers) / (many - few);
      assert.ok(inBuffers <= mostBytesPerMessage, `${inBuffers.toFixed(1)} octets`);
      assert.ok(inBuffers > 10, `${inBuffers.toFixed(1)} octets: nothing was measured`);
      const inObjects = (second.heap - first.heap) / (many - few);
      assert.ok(inObjects < smallestObject, `${inObjects.toFixed(1)} octets of objects`);
    });

  it('of closed mailboxes does not grow with their messages', async () => {
    await using world = await MaildirWorld.make({ idleMailboxes: 1 }, memoryFolder());
    const useFew = async (names: readonly string[]): Promise<void> => {
      for (const name of names) {
        makeMaildir(world.paths(name).mailDir, few);
        await use(world, name, nothing);
      }
      // Takes the place of the one that is kept for the next session.
      await use(world, 'small', nothing);
    };
    makeMaildir(world.paths('small').mailDir, 10);
    await useFew(['A', 'B', 'C', 'D']);
    const before = await usedNow();
    await useFew(['E', 'F', 'G', 'H']);
    const after = await usedNow();
    const perMessage = (after.heap + after.buffers - before.heap - before.buffers) / (4 * few);
    // What was compiled meanwhile, and the objects of four mailboxes; a message that stays takes 140 octets.
    assert.ok(perMessage < smallestObject, `${perMessage.toFixed(1)} octets`);
  });
});
