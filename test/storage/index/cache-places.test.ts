// Sections of cached messages that follow each other, found where they lie in the file.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { CacheFile } from '#storage/index/cache-file.js';
import { type CachedMessage, cacheUnit, emptyCachedMessage, sectionKind } from '#storage/index/cache-record.js';
import { rowBit } from '#storage/index/columns.js';
import { IndexState } from '#storage/index/index-state.js';

const limits = { maxKeywordLength: 50, maxHistoryRanges: 10 };
const wanted = Uint8Array.of(sectionKind.envelope, sectionKind.bodyStructure);
const count = 5;

function messageOf(uid: number): CachedMessage {
  const text = (name: string): Buffer => Buffer.from(`(${name} ${uid} ${'x'.repeat(uid)})`);
  return {
    ...emptyCachedMessage(),
    envelope: text('envelope'),
    body: text('body'),
    bodyStructure: text('structure'),
    header: { names: 1, bytes: text('h') },
  };
}

/** A process that has a mailbox of UIDs 10, 20, ... open. */
class Opener {
  readonly path: string;
  readonly state = new IndexState(limits, 1);
  readonly cache: CacheFile;

  constructor(test: TestContext, folder = mkdtempSync(join(tmpdir(), 'roost-places-'))) {
    this.path = join(folder, 'roost.cache');
    this.state.uidValidity = 7;
    const row = { flags: 0, bits: 0, keywordSet: 0, suffix: 0, modSeq: 1, saveDate: 1, internalDate: 1 };
    for (let uid = 10; uid <= count * 10; uid += 10) this.state.columns.add({ ...row, uid }, Buffer.from(`m${uid}`), 0);
    this.cache = new CacheFile(this.path, ['subject'], silentLogger);
    test.after(() => {
      this.cache.close();
      rmSync(folder, { recursive: true, force: true });
    });
  }

  /** @returns the texts of what is found, message by message */
  async locate(first = 0, room = 4096): Promise<string[]> {
    await this.cache.catchUp(this.state);
    const octets = Buffer.alloc(room);
    const places = new Uint32Array(count * wanted.length * 2);
    const found = this.cache.locate(this.state, { rows: [first, count - 1], sections: wanted }, octets, places);
    return Array.from({ length: found }, (_, message) =>
      [...wanted]
        .map((_kind, index) => (message * wanted.length + index) * 2)
        .map((at) => octets.toString('latin1', places[at], places[at + 1]))
        .join(' '),
    );
  }
}

function expected(first = 0, end = count): string[] {
  return Array.from({ length: end - first }, (_, index) => {
    const { envelope, bodyStructure } = messageOf((first + index + 1) * 10);
    return `${envelope} ${bodyStructure}`;
  });
}

async function filled(test: TestContext): Promise<Opener> {
  const opener = new Opener(test);
  await opener.cache.catchUp(opener.state);
  opener.cache.add(opener.state, new Map(Array.from({ length: count }, (_, index) => [(index + 1) * 10, messageOf((index + 1) * 10)])));
  return opener;
}

describe('Places of cached sections', () => {
  it('are those that were written, for the writer and for others', async (test) => {
    const writer = await filled(test);
    assert.deepEqual(await writer.locate(), expected());
    assert.deepEqual(await writer.locate(2), expected(2));
    assert.deepEqual(await new Opener(test, join(writer.path, '..')).locate(), expected());
  });

  it('end where a message is gone, is not known, or does not fit', async (test) => {
    const opener = await filled(test);
    const { state } = opener;
    const lengths = [...state.columns.cacheOffset].map((unit) => unit * cacheUnit);
    assert.deepEqual(await opener.locate(0, (lengths[3] as number) - (lengths[0] as number) + 8), expected(0, 3));
    state.columns.bits[3] = rowBit.dead;
    assert.deepEqual(await opener.locate(), expected(0, 3));
    state.columns.cacheOffset[1] = 0;
    assert.deepEqual(await opener.locate(), expected(0, 1));
    assert.deepEqual(await opener.locate(1), []);
    assert.deepEqual(await opener.locate(2), expected(2, 3));
  });

  it('end at a record that lies before, and at one that adds to an earlier one', async (test) => {
    const opener = await filled(test);
    const { cache, state } = opener;
    cache.add(state, new Map([[20, messageOf(20)]]));
    assert.deepEqual(await opener.locate(1), expected(1, 2));
    cache.add(state, new Map([[10, { ...emptyCachedMessage(), preview: Buffer.from('p') }]]));
    assert.deepEqual(await opener.locate(), []);
  });

  it('are never those of an octet that was changed', async (test) => {
    const writer = await filled(test);
    const whole = readFileSync(writer.path);
    const start = (writer.state.columns.cacheOffset[0] as number) * cacheUnit;
    for (let at = start; at < whole.length; at += 1) {
      const broken = Buffer.from(whole);
      broken[at] = (broken[at] as number) ^ 0x41;
      writeFileSync(writer.path, broken);
      const reader = new Opener(test, join(writer.path, '..'));
      // As a snapshot would have them.
      reader.state.columns.cacheOffset.set(writer.state.columns.cacheOffset.subarray(0, count));
      Object.assign(reader.state, { cacheId: writer.state.cacheId, cacheLength: writer.state.cacheLength });
      const found = await reader.locate();
      assert.ok(found.length < count, `octet ${at}`);
      assert.deepEqual(found, expected(0, found.length), `octet ${at}`);
      reader.cache.close();
    }
  });
});
