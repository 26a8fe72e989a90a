// Header fields that are cached because clients ask for them, and forgotten when they no longer do.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { CacheFile } from '#storage/index/cache-file.js';
import { IndexState } from '#storage/index/index-state.js';
import { decodeSnapshot, encodeSnapshot, parseSnapshotHeader } from '#storage/index/snapshot.js';

const first = ['subject', 'from'];
const limits = { maxKeywordLength: 50, maxHistoryRanges: 10 };

/** A process that has the mailbox open. */
class Opener {
  readonly state = new IndexState(limits, 1);
  readonly cache: CacheFile;
  today = 20_000;

  constructor(folder: string) {
    this.state.uidValidity = 7;
    this.cache = new CacheFile(join(folder, 'roost.cache'), first, silentLogger, { now: () => this.today * 86_400_000 + 1 });
  }

  /** A client asks for these fields of messages that nothing is known of. @returns the fields that are cached of them */
  async ask(...names: string[]): Promise<readonly string[] | undefined> {
    await this.cache.catchUp(this.state);
    this.cache.used(this.state, names);
    const list = this.cache.learn(this.state, names);
    return list === undefined ? undefined : this.state.cacheNames.get(list);
  }
}

function openers(test: TestContext, count: number): Opener[] {
  const folder = mkdtempSync(join(tmpdir(), 'roost-fields-'));
  const list = Array.from({ length: count }, () => new Opener(folder));
  test.after(() => {
    for (const { cache } of list) cache.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return list;
}

describe('Cached header fields', () => {
  it('are those of common clients, and what is asked for', async (test) => {
    const [opener] = openers(test, 1) as [Opener];
    assert.deepEqual(await opener.ask('from'), first);
    assert.deepEqual(await opener.ask('x-one'), [...first, 'x-one']);
    assert.deepEqual(await opener.ask('x-two', 'subject'), [...first, 'x-one', 'x-two']);
  });

  it('are forgotten when nobody has asked for 30 days, but for those of common clients', async (test) => {
    const [opener] = openers(test, 1) as [Opener];
    await opener.ask('x-one', 'x-two');
    opener.today += 20;
    await opener.ask('x-two');
    opener.today += 10;
    assert.deepEqual(await opener.ask('from'), [...first, 'x-one', 'x-two']);
    opener.today += 1;
    assert.deepEqual(await opener.ask('from'), [...first, 'x-two']);
    opener.today += 20;
    assert.deepEqual(await opener.ask('from'), first);
    assert.deepEqual(await opener.ask('x-one'), [...first, 'x-one']);
  });

  it('stay while one of several processes is asked for them', async (test) => {
    const [one, two] = openers(test, 2) as [Opener, Opener];
    await one.ask('x-one');
    for (let days = 0; days < 100; days += 10) {
      one.today += 10;
      two.today += 10;
      // From the cache, without a new record.
      await two.cache.catchUp(two.state);
      two.cache.used(two.state, ['x-one']);
    }
    assert.deepEqual(await one.ask('subject'), [...first, 'x-one']);
  });

  it('are at most 120, until some are forgotten', async (test) => {
    const [opener] = openers(test, 1) as [Opener];
    const many = Array.from({ length: 118 }, (_, index) => `x-${index}`);
    assert.equal((await opener.ask(...many))?.length, 120);
    assert.equal(await opener.ask('x-more'), undefined);
    opener.today += 31;
    assert.deepEqual(await opener.ask('x-more'), [...first, 'x-more']);
  });

  it('are known to those who read the snapshot alone', async (test) => {
    const [opener] = openers(test, 1) as [Opener];
    await opener.ask('x-one');
    const parts = encodeSnapshot(opener.state, { logId: 1, offset: 64 }, Buffer.alloc(16));
    const [head, text] = parts;
    const heap = parts.at(-1);
    assert.ok(head && text && heap);
    const columns = Buffer.concat(parts.slice(2, -1));
    const header = parseSnapshotHeader(head, head.length + text.length + columns.length + heap.length);
    assert.ok(header);
    const state = decodeSnapshot(header, text, columns, Buffer.from(heap), limits);
    assert.deepEqual([...(state?.cacheNames.values() ?? [])].at(-1), [...first, 'x-one']);
    assert.deepEqual([...(state?.cacheNameDays ?? [])], [['x-one', 20_000]]);
  });
});
