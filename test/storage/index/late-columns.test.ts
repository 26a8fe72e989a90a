// A snapshot of which a part is read later must give the same state as one that is read as a whole, whatever the log and other processes add meanwhile.
import assert from 'node:assert/strict';
import { closeSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Logger, silentLogger } from '#log/logger.js';
import { unknown32 } from '#storage/index/columns.js';
import { IndexReads } from '#storage/index/index-reads.js';
import type { IndexState } from '#storage/index/index-state.js';
import { addRecord, expungeRecord, FlagsRecordBuilder, renameRecord, resetRecord, sizesRecord } from '#storage/index/log-record.js';
import { MailboxIndex } from '#storage/index/mailbox-index.js';
import { crc32 } from '#util/crc32.js';
import { SlowWatch } from '#util/slow-watch.js';

const messages = 40;

function message(uid: number): Parameters<typeof addRecord>[0][number] {
  return {
    uid,
    flags: uid % 8,
    keywords: uid % 3 === 0 ? ['work'] : [],
    suffix: `:2,${uid % 2 === 0 ? 'S' : ''}`,
    isInNew: false,
    extension: uid % 5 === 0 ? 'Gabc ' : '',
    baseName: `name-${uid}`,
    internalDate: uid * 10,
    saveDate: unknown32,
  };
}

interface World extends AsyncDisposable {
  readonly folder: string;
  readonly lines: string[];
  open(isLate: boolean): Promise<MailboxIndex>;
}

function countingLogger(lines: string[]): Logger {
  const note = (event: string): number => lines.push(event);
  return { ...silentLogger, error: note, warning: note };
}

/** An index whose snapshot has messages and whose log has nothing. */
async function makeWorld(): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'roost-late-'));
  const opened: MailboxIndex[] = [];
  const lines: string[] = [];
  const open = async (isLate: boolean): Promise<MailboxIndex> => {
    const index = await MailboxIndex.open({
      folder,
      maxKeywordLength: 50,
      maxHistoryRanges: 100,
      lateAboveBytes: isLate ? 0 : Number.POSITIVE_INFINITY,
      log: countingLogger(lines),
    });
    opened.push(index);
    return index;
  };
  const first = await open(false);
  first.append([resetRecord(7, '0'.repeat(32)), addRecord(Array.from({ length: messages }, (_, at) => message(at + 1)))]);
  await first.publish();
  return {
    folder,
    lines,
    open,
    async [Symbol.asyncDispose]() {
      for (const index of opened) index.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function rowsOf(state: IndexState): string[] {
  const { columns } = state;
  return Array.from({ length: columns.length }, (_, row) =>
    [
      columns.uid[row],
      columns.modSeq[row],
      columns.flags[row],
      columns.bits[row],
      state.keywordsOf(row).join('+'),
      state.suffixes.at(columns.suffix[row] as number).text,
      columns.extensionOf(row) + columns.nameOf(row),
      columns.size[row],
      columns.virtualSize[row],
      columns.internalDate[row],
      columns.saveDate[row],
      columns.cacheOffset[row],
    ].join(' '),
  );
}

/** Small numbers that repeat for the same seed. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
}

function flags(state: IndexState, random: (below: number) => number, unlessAbove?: number): Buffer {
  const builder = new FlagsRecordBuilder(state, 4, unlessAbove);
  for (let count = 0; count < 4; count += 1) {
    const set = state.keywordSetId(state.keywords.intern(random(2) === 0 ? [] : ['play']));
    builder.add(1 + random(messages + 5), random(8), set, state.suffixes.idOf(`:2,${'DFRS'[random(4)]}`), random(4) === 0);
  }
  return builder.finish();
}

function randomRecord(index: MailboxIndex, random: (below: number) => number): Buffer {
  const { state } = index;
  const uid = 1 + random(messages + 5);
  const learned = { internalDate: random(100), saveDate: unknown32 };
  switch (random(12)) {
    case 0:
    case 1:
      return addRecord([message(state.uidNext), message(state.uidNext + 1)]);
    case 2:
    case 3:
    case 4:
      return flags(state, random);
    case 5:
      return flags(state, random, state.highestModSeq - random(3));
    case 6:
    case 7:
      return expungeRecord([[uid, uid + random(3)]]);
    case 8:
    case 9:
      return sizesRecord([
        { uid, size: 100, virtualSize: 100 + random(2), ...learned },
        { uid: uid + 1, size: unknown32, virtualSize: unknown32, ...learned },
      ]);
    case 10:
      return random(5) === 0 ? resetRecord(7, '1'.repeat(32)) : flags(state, random);
    default:
      return renameRecord(uid, random(2) === 0 ? 'Gdef ' : '', `renamed-${random(1000)}`);
  }
}

describe('An index of which a part is read later', () => {
  it('has what a mailbox is opened with', async () => {
    await using world = await makeWorld();
    const whole = await world.open(false);
    const index = await world.open(true);
    const { columns } = index.state;
    assert.ok(whole.isWhole);
    assert.ok(!index.isWhole);
    for (const name of ['uid', 'flags', 'bits'] as const) assert.deepEqual([...columns[name]], [...whole.state.columns[name]], name);
    assert.deepEqual(index.state.keywordsOf(2), ['work']);
    assert.equal(index.state.liveCount, messages);
    assert.ok(!index.isWhole);
    assert.equal(await index.complete(), true);
    assert.ok(index.isWhole);
    assert.deepEqual(rowsOf(index.state), rowsOf(whole.state));
  });

  it('has empty keyword sets where there is only that one', async () => {
    await using world = await makeWorld();
    const whole = await world.open(false);
    whole.append([resetRecord(7, '0'.repeat(32)), addRecord([{ ...message(1), keywords: [] }])]);
    rmSync(join(world.folder, 'roost.index'));
    rmSync(join(world.folder, 'roost.index.log'));
    const plain = await world.open(false);
    plain.append([resetRecord(7, '0'.repeat(32)), addRecord([{ ...message(1), keywords: [] }])]);
    await plain.publish();
    const index = await world.open(true);
    assert.ok(!index.isWhole);
    assert.deepEqual(index.state.keywordsOf(0), []);
    assert.ok(await index.complete());
    assert.deepEqual(rowsOf(index.state), rowsOf(plain.state));
  });

  it('reads it at once for who does not wait', async () => {
    await using world = await makeWorld();
    const index = await world.open(true);
    assert.equal(index.state.columns.nameOf(3), 'name-4');
    assert.ok(index.isWhole);
  });

  for (let seed = 1; seed <= 60; seed += 1) {
    it(`takes records as they come, before and after it is read (seed ${seed})`, async () => {
      await using world = await makeWorld();
      const random = randomNumbers(seed);
      const writer = await world.open(false);
      const early = await world.open(true);
      for (let count = random(12); count > 0; count -= 1) writer.append([randomRecord(writer, random)]);
      const late = await world.open(true);
      for (let count = random(12); count > 0; count -= 1) writer.append([randomRecord(writer, random)]);
      const indexes = [early, late, await world.open(true), await world.open(false)];
      for (const index of indexes) index.catchUp();
      const waiting = indexes.map((index) => (random(2) === 0 ? index.complete() : Promise.resolve(true)));
      for (let count = random(4); count > 0; count -= 1) writer.append([randomRecord(writer, random)]);
      for (const index of indexes) index.catchUp();
      assert.deepEqual(await Promise.all(waiting), [true, true, true, true]);
      for (const index of indexes) {
        assert.ok(await index.complete());
        assert.deepEqual(rowsOf(index.state), rowsOf(writer.state));
        assert.equal(index.state.highestModSeq, writer.state.highestModSeq);
        assert.equal(index.state.liveCount, writer.state.liveCount);
      }
    });
  }

  it('keeps to the file it was opened with', async () => {
    await using world = await makeWorld();
    const index = await world.open(true);
    const peer = await world.open(false);
    peer.append([renameRecord(1, '', 'another-name-that-is-longer'), expungeRecord([[2, 20]])]);
    peer.state.columns.compact();
    peer.compact();
    assert.ok(await index.complete());
    assert.equal(index.state.columns.nameOf(29), 'name-30');
    index.catchUp();
    assert.equal(index.state.columns.nameOf(0), 'another-name-that-is-longer');
    assert.equal(index.state.liveCount, peer.state.liveCount);
  });

  it('goes on where the files are deleted meanwhile', async () => {
    await using world = await makeWorld();
    const index = await world.open(true);
    for (const name of ['roost.index', 'roost.index.log']) rmSync(join(world.folder, name));
    index.append([renameRecord(1, '', 'renamed')]);
    assert.ok(await index.complete());
    assert.equal(index.state.columns.nameOf(0), 'renamed');
    assert.equal(index.state.columns.nameOf(1), 'name-2');
    assert.deepEqual(rowsOf((await world.open(false)).state), rowsOf(index.state));
  });

  it('says so where that part is damaged, and one log line when it is opened as a whole', async () => {
    await using world = await makeWorld();
    const path = join(world.folder, 'roost.index');
    const bytes = readFileSync(path);
    const index = await world.open(true);
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] as number) ^ 1;
    writeFileSync(path, bytes);
    assert.equal(await index.complete(), false);
    assert.equal(await index.complete(), false);
    assert.throws(() => index.state.columns.nameOf(0), { code: 'unavailable' });
    assert.deepEqual(world.lines, []);
    assert.ok((await world.open(false)).isBuilding);
    assert.deepEqual(world.lines, ['index.rebuilt']);
  });

  it('is read as a whole where an earlier program wrote it', async () => {
    await using world = await makeWorld();
    const path = join(world.folder, 'roost.index');
    const bytes = readFileSync(path);
    bytes.fill(0, 188, 256);
    bytes.writeUInt32LE(0, 16);
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 256)), 16);
    writeFileSync(path, bytes);
    const index = await world.open(true);
    assert.ok(!index.isBuilding);
    assert.ok(index.isWhole);
    assert.equal(index.state.columns.nameOf(3), 'name-4');
  });

  it('has one checksum that earlier programs know', async () => {
    await using world = await makeWorld();
    const bytes = readFileSync(join(world.folder, 'roost.index'));
    const columnsAt = 256 + bytes.readUInt32LE(24);
    const heapAt = bytes.length - bytes.readUInt32LE(28);
    assert.equal(bytes.readUInt32LE(180), crc32(bytes.subarray(columnsAt, heapAt)));
  });

  it('leaves no descriptor open, whenever it is closed', async () => {
    await using world = await makeWorld();
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    const steps: readonly ((index: MailboxIndex) => unknown)[] = [
      () => undefined,
      (index) => index.complete(),
      (index) => index.state.columns.nameOf(1),
      (index) => index.append([resetRecord(8, '2'.repeat(32))]),
    ];
    for (const step of steps) {
      const index = await world.open(true);
      step(index);
      index.close();
      await index.complete();
    }
    assert.equal(open(), before);
  });
});

describe('Files of an index', () => {
  for (const [where, storage] of [
    ['at once', new SlowWatch()],
    ['in the thread pool', undefined],
  ] as const) {
    it(`are read ${where}`, async () => {
      await using world = await makeWorld();
      const reads = new IndexReads(storage);
      const path = join(world.folder, 'roost.index');
      const fd = await reads.open(path, 0);
      assert.ok(fd !== undefined);
      const bytes = readFileSync(path);
      assert.equal((await reads.stat(fd)).size, bytes.length);
      assert.deepEqual(await reads.range(fd, 5, 300), bytes.subarray(5, 300));
      assert.deepEqual(await reads.range(fd, 5, bytes.length + 300), bytes.subarray(5));
      assert.deepEqual(await reads.range(fd, 0, 3_000_000), bytes);
      assert.equal(await reads.open(`${path}/not/there`, 0), undefined);
      closeSync(fd);
    });
  }
});
