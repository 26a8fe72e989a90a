// Every file that a mailbox keeps beside its messages holds octets of somebody else: random ones, or its own, changed, with checksums that agree or do not.
// Nobody may hang, crash or lose a message over it. ROOST_FUZZ_RUNS sets how many mailboxes are opened, ROOST_FUZZ_SEED repeats a run.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { StorageError } from '#storage/errors.js';
import { cacheRecordLength } from '#storage/index/cache-record.js';
import { logHeaderBytes } from '#storage/index/log-reader.js';
import { snapshotHeaderBytes } from '#storage/index/snapshot.js';
import type { Mailbox } from '#storage/mailbox.js';
import { crc32 } from '#util/crc32.js';
import { addFlags, append, deleted, expunge, fill, flagged, never, openView, seen, sync } from '../../contract/world.js';
import { memoryFolder } from '../../support/memory-folder.js';
import { MaildirWorld } from '../maildir/world.js';

const runs = Number(process.env['ROOST_FUZZ_RUNS'] ?? 200);
const firstSeed = Number(process.env['ROOST_FUZZ_SEED'] ?? randomInt(1_000_000_000));
const patienceMs = 20_000;

/** Numbers from 0 below `bound`, the same for the same seed (xorshift). */
function numbers(seed: number): (bound: number) => number {
  let state = seed | 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % bound;
  };
}

type Numbers = ReturnType<typeof numbers>;

/** Checksums of a file of the index, made to agree with what it holds. */
const sealers: Readonly<Record<string, (bytes: Buffer) => void>> = {
  'roost.index'(bytes) {
    if (bytes.length < snapshotHeaderBytes) return;
    const textEnd = snapshotHeaderBytes + bytes.readUInt32LE(24);
    const heapStart = bytes.length - bytes.readUInt32LE(28);
    bytes.writeUInt32LE(crc32(bytes.subarray(snapshotHeaderBytes, textEnd)), 176);
    bytes.writeUInt32LE(crc32(bytes.subarray(textEnd, heapStart)), 180);
    bytes.writeUInt32LE(crc32(bytes.subarray(heapStart)), 184);
    sealHeader(bytes.subarray(0, snapshotHeaderBytes), 16);
  },
  'roost.index.log'(bytes) {
    sealHeader(bytes.subarray(0, logHeaderBytes), 12);
    sealRecords(bytes, logHeaderBytes, (at) => bytes.readUInt32LE(at) & 0xffffff);
  },
  'roost.cache'(bytes) {
    sealHeader(bytes.subarray(0, 64), 12);
    sealRecords(bytes, 64, (at) => cacheRecordLength(bytes, at));
  },
};

function sealHeader(header: Buffer, at: number): void {
  if (header.length < at + 4) return;
  header.writeUInt32LE(0, at);
  header.writeUInt32LE(crc32(header), at);
}

function sealRecords(bytes: Buffer, from: number, lengthAt: (at: number) => number): void {
  for (let at = from; at + 16 <= bytes.length; ) {
    const length = lengthAt(at);
    if (length < 16 || at + length > bytes.length) return;
    bytes.writeUInt32LE(crc32(bytes.subarray(at + 8, at + length)), at + 4);
    at += length;
  }
}

const interesting = [0, 1, 0x7f, 0x80, 0xff];

/** Octets changed, taken out, repeated, or exchanged for numbers at the edges. */
function mutated(bytes: Buffer, next: Numbers): Buffer {
  let result = Buffer.from(bytes);
  for (let change = next(4); change >= 0; change -= 1) {
    const at = next(result.length + 1);
    const length = Math.min(1 + next(next(2) === 0 ? 8 : 200), result.length - at);
    const kind = next(6);
    if (kind === 0) result = Buffer.concat([result.subarray(0, at), result.subarray(at + length)]);
    else if (kind === 1) result = Buffer.concat([result.subarray(0, at + length), result.subarray(at)]);
    else if (kind === 2) result.fill(interesting[next(interesting.length)] as number, at, at + length);
    else if (kind === 3 && result.length >= 4)
      result.writeUInt32LE([0, 1, 0xffff, 0x7fffffff, 0xffffffff][next(5)] as number, next(result.length - 3));
    else for (let index = at; index < at + length; index += 1) result[index] = next(256);
  }
  return result;
}

function random(next: Numbers): Buffer {
  return Buffer.from(Array.from({ length: next(3000) }, () => next(256)));
}

const subjects = ['number 1', 'number 3', 'number 4', 'late'];

/** A mailbox whose files all hold something. @returns its files, by path in the folder of the account */
async function makeFiles(folder: string): Promise<ReadonlyMap<string, Buffer>> {
  await using world = await MaildirWorld.make({}, folder);
  const mailbox = await world.create('box');
  await fill(mailbox, 4, { flags: seen, keywords: ['$Forwarded', 'work'] });
  {
    await using view = await openView(mailbox);
    await view.prepare([1, 2, 3, 4], { envelope: true, bodyStructure: true, headers: ['subject'], size: true, preview: true }, never);
  }
  await world.restart();
  const again = await world.open('box');
  {
    await using view = await openView(again);
    await addFlags(view, [1, 3], flagged, ['other']);
    await expunge(view, [2]);
    await sync(view);
    await append(again, 'Subject: late\r\n\r\nx\r\n', { flags: deleted });
    await view.prepare([1, 2, 3], { envelope: true, headers: ['subject'] }, never);
  }
  await world.driver.close();
  return new Map(
    readdirSync(world.root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(world.root.length + 1), readFileSync(path)]),
  );
}

async function subjectsIn(mailbox: Mailbox): Promise<string[]> {
  await using view = await openView(mailbox);
  await sync(view);
  const seqs = Array.from({ length: view.count }, (_, index) => index + 1);
  const gone = new Set(
    await view.prepare(
      seqs,
      { envelope: true, bodyStructure: true, headers: ['subject'], size: true, preview: true, internalDate: true },
      never,
    ),
  );
  return seqs
    .filter((seq) => !gone.has(seq))
    .map((seq) => view.headerFieldsAt(seq, ['subject']).toString('latin1').slice(9).trim())
    .sort();
}

async function use(world: MaildirWorld): Promise<void> {
  const mailbox = await world.open('box');
  await subjectsIn(mailbox);
  await append(mailbox, 'Subject: new\r\n\r\nx\r\n', { flags: seen, keywords: ['work'] });
  await using view = await openView(mailbox);
  await addFlags(view, view.count > 0 ? [1] : [], flagged, ['later']);
  await view.search({ kind: 'text', text: 'x' }, never);
  await view.search({ kind: 'header', field: 'subject', text: 'late' }, never);
  await view.vanishedSince(1, undefined, never);
  await sync(view);
}

/** What the messages themselves say: every index is thrown away. */
async function subjectsOnDisk(world: MaildirWorld): Promise<string[]> {
  const folder = world.paths('box').mailDir;
  for (const name of ['roost.index', 'roost.index.log', 'roost.cache']) rmSync(join(folder, name), { recursive: true, force: true });
  await world.restart();
  return subjectsIn(await world.open('box'));
}

async function withinTime<Result>(work: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('it hangs')), patienceMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

function isMessage(path: string): boolean {
  return /\/(cur|new|tmp)\//.test(path);
}

describe('A mailbox over files of random octets', () => {
  it(`is opened, read and changed, and has every message (ROOST_FUZZ_SEED=${firstSeed})`, { timeout: runs * 2_000 }, async () => {
    const files = await makeFiles(memoryFolder());
    const names = [...files.keys()].filter((path) => !isMessage(path));
    for (const expected of ['roost.index', 'roost.index.log', 'roost.cache', 'dovecot-uidlist', 'dovecot-keywords'])
      assert.ok(
        names.some((name) => name.endsWith(expected)),
        `${expected} is not there`,
      );
    for (let run = 0; run < runs; run += 1) {
      const seed = firstSeed + run;
      const next = numbers(seed * 2_654_435_761);
      await using world = await MaildirWorld.make({}, memoryFolder());
      for (const folder of ['cur', 'new', 'tmp']) mkdirSync(join(world.root, '.box', folder), { recursive: true });
      for (const [path, bytes] of files) writeFileSync(join(world.root, path), bytes);
      const name = names[next(names.length)] as string;
      const content = next(5) === 0 ? random(next) : mutated(files.get(name) ?? Buffer.alloc(0), next);
      if (next(2) === 0) sealers[name.slice(name.lastIndexOf('/') + 1)]?.(content);
      writeFileSync(join(world.root, name), content);
      const title = `ROOST_FUZZ_SEED=${seed} ROOST_FUZZ_RUNS=1, ${name}`;
      try {
        await withinTime(use(world));
      } catch (error) {
        assert.ok(error instanceof StorageError, `${title}: ${error instanceof Error ? error.stack : String(error)}`);
      }
      const left = await withinTime(subjectsOnDisk(world)).catch((error: unknown) => assert.fail(`${title}: ${String(error)}`));
      for (const subject of subjects) assert.ok(left.includes(subject), `${title}: ${subject} is not in ${left.join()}`);
      assert.ok(!existsSync(join(world.root, '.box', 'dovecot-uidlist.lock')), `${title}: a lock was left`);
    }
  });
});
