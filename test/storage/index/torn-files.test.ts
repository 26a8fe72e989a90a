// Every octet of every index file is broken in turn, and every file is cut at every length. The mailbox must come back with the same UIDs and
// flags, with modseqs that do not go back, and with at most one log line about each file.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Logger, silentLogger } from '#log/logger.js';
import { unlimitedQuota } from '#storage/driver.js';
import type { Mailbox } from '#storage/mailbox.js';
import { addFlags, append, deleted, expunge, fill, flagged, never, openView, seen, sync } from '../../contract/world.js';
import { memoryFolder } from '../../support/memory-folder.js';
import { MaildirWorld } from '../maildir/world.js';

const files = ['roost.index', 'roost.index.log', 'roost.cache'] as const;
type File = (typeof files)[number];
/** Each bit of every octet, and zeros at the end, with ROOST_TORN_ALL=1; else one way to break every octet. */
const isFullRun = process.env['ROOST_TORN_ALL'] === '1';
const masks = isFullRun ? [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0x55, 0xff] : [0x55];
const lanes = 4;
/** How the snapshot is read; as small as it is here, all of it at once. */
const readings = [
  { how: '', options: {} },
  { how: ', a part of the snapshot read later,', options: { lateAboveBytes: 0 } },
] as const;
type Reading = (typeof readings)[number];
const timeout = isFullRun ? 900_000 : 240_000;

interface Attempt {
  readonly title: string;
  readonly content: Buffer;
}

interface Sample {
  readonly world: MaildirWorld;
  readonly folder: string;
  readonly contents: ReadonlyMap<string, Buffer>;
  readonly highestModSeq: number;
  readonly expected: readonly string[];
}

async function describeMailbox(mailbox: Mailbox): Promise<string[]> {
  await using view = await openView(mailbox, true);
  const seqs = Array.from({ length: view.count }, (_, index) => index + 1);
  const gone = await view.prepare(seqs, { envelope: true, bodyStructure: true, headers: ['subject'], size: true }, never);
  assert.deepEqual(gone, []);
  return seqs.map((seq) =>
    [
      mailbox.uidValidity,
      view.uidAt(seq),
      view.systemFlagsAt(seq) & 31,
      view.keywordsAt(seq).join('+'),
      view.sizeAt(seq),
      view.envelopeAt(seq).toString('latin1'),
      view.bodyStructureAt(seq).toString('latin1'),
      view.headerFieldsAt(seq, ['subject']).toString('latin1'),
    ].join('|'),
  );
}

/** A mailbox whose snapshot, log and cache all hold something. */
async function makeSample({ options }: Reading): Promise<Sample> {
  const world = await MaildirWorld.make(options, memoryFolder());
  const mailbox = await world.create('box');
  await fill(mailbox, 3, { flags: seen });
  await describeMailbox(mailbox);
  await world.restart();
  const again = await world.open('box');
  {
    await using view = await openView(again);
    await addFlags(view, [1, 3], flagged, ['$Forwarded']);
    await expunge(view, [2]);
    await sync(view);
    await append(again, 'Subject: late\r\n\r\nx\r\n', { flags: deleted });
  }
  const expected = await describeMailbox(again);
  const highestModSeq = again.highestModSeq;
  await world.restart();
  const folder = world.paths('box').mailDir;
  const contents = new Map<string, Buffer>();
  for (const file of files) contents.set(file, await readFile(join(folder, file)));
  return { world, folder, contents, highestModSeq, expected };
}

function countingLogger(lines: string[]): Logger {
  const note = (event: string): number => lines.push(event);
  return { ...silentLogger, error: note, warning: note, child: () => countingLogger(lines) };
}

async function openBroken(sample: Sample, title: string): Promise<void> {
  const lines: string[] = [];
  const driver = sample.world.newDriver({ log: countingLogger(lines) });
  try {
    const { world } = sample;
    const options = {
      name: 'box',
      quota: unlimitedQuota,
      isReadOnly: false,
      log: countingLogger(lines),
    };
    const mailbox = await driver.open(world.paths('box'), options, never);
    assert.deepEqual(await describeMailbox(mailbox), sample.expected, title);
    assert.ok(mailbox.highestModSeq >= sample.highestModSeq, `${title}: modseq went back`);
    assert.ok(lines.length <= 1, `${title}: ${lines.join(', ')}`);
  } finally {
    await driver.close();
  }
}

function restore(sample: Sample): void {
  for (const [file, bytes] of sample.contents) writeFileSync(join(sample.folder, file), bytes);
}

/** Several mailboxes at once, each its share of the positions: most of the time an open waits for one of the small files. */
async function everywhere(file: File, reading: Reading, attempts: (bytes: Buffer) => Iterable<Attempt>): Promise<void> {
  await Promise.all(
    Array.from({ length: lanes }, async (_, lane) => {
      const sample = await makeSample(reading);
      await using _world = sample.world;
      const bytes = sample.contents.get(file) ?? Buffer.alloc(0);
      assert.ok(bytes.length > 64);
      let turn = 0;
      for (const { title, content } of attempts(bytes)) {
        if (turn++ % lanes !== lane) continue;
        restore(sample);
        writeFileSync(join(sample.folder, file), content);
        await openBroken(sample, title);
      }
    }),
  );
}

function* brokenOctets(bytes: Buffer): Iterable<Attempt> {
  for (let at = 0; at < bytes.length; at += 1)
    for (const mask of masks) {
      const content = Buffer.from(bytes);
      content[at] = (content[at] as number) ^ mask;
      yield { title: `octet ${at} ^ ${mask}`, content };
    }
}

function* cuts(bytes: Buffer): Iterable<Attempt> {
  for (let length = 0; length < bytes.length; length += 1) yield { title: `cut to ${length}`, content: bytes.subarray(0, length) };
}

/** What a crash leaves of a file whose size was written before its content. */
function* zeroedTails(bytes: Buffer): Iterable<Attempt> {
  for (let from = 0; from < bytes.length; from += 1) {
    const content = Buffer.from(bytes);
    content.fill(0, from);
    if (!content.equals(bytes)) yield { title: `zeros from ${from}`, content };
  }
}

for (const [file, reading] of files.flatMap((file) => readings.map((reading) => [file, reading] as const))) {
  describe(`${file}${reading.how}`, () => {
    it('may be broken at any octet', { timeout }, () => everywhere(file, reading, brokenOctets));

    it('may be cut at any length', { timeout }, () => everywhere(file, reading, cuts));

    it('may end in zeros from any octet on', { timeout, skip: !isFullRun && 'takes long: ROOST_TORN_ALL=1' }, () =>
      everywhere(file, reading, zeroedTails),
    );

    it('may be deleted', async () => {
      const sample = await makeSample(reading);
      await using _world = sample.world;
      await rm(join(sample.folder, file));
      await openBroken(sample, 'deleted');
    });

    it('may be deleted while the mailbox is open', async () => {
      const sample = await makeSample(reading);
      await using world = sample.world;
      const mailbox = await world.open('box');
      await using view = await openView(mailbox);
      await rm(join(sample.folder, file));
      await addFlags(view, [1], seen, ['later']);
      await append(mailbox);
      await sync(view);
      const expected = await describeMailbox(mailbox);
      await world.restart();
      assert.deepEqual(await describeMailbox(await world.open('box')), expected);
    });
  });
}

describe('An unchanged mailbox', () => {
  it('is opened without reading a folder', async () => {
    await using world = await MaildirWorld.make();
    const folder = await world.foreign('box', { 'cur/1700000000.M1P1.h:2,S': 'Subject: one\r\n\r\n' });
    const old = new Date(Date.now() - 60_000);
    for (const name of ['cur', 'new']) await utimes(join(folder, name), old, old);
    assert.equal((await describeMailbox(await world.open('box'))).length, 1);
    await world.restart();
    await writeFile(join(folder, 'cur/1700000001.M1P1.h:2,S'), 'Subject: two\r\n\r\n');
    await utimes(join(folder, 'cur'), old, old);
    // Only the mtime tells of a change; as it does not, the new file is not seen.
    assert.equal((await describeMailbox(await world.open('box'))).length, 1);
    await utimes(join(folder, 'cur'), new Date(), new Date());
    await world.restart();
    assert.equal((await describeMailbox(await world.open('box'))).length, 2);
  });
});
