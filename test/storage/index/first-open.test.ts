// Processes that are the first to open a mailbox, all at the same moment.
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdtempSync, renameSync, rmSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type Logger, silentLogger } from '#log/logger.js';
import { type MailboxDriver, unlimitedQuota } from '#storage/driver.js';
import { openLog } from '#storage/index/index-files.js';
import { modSeqRecord, resetRecord } from '#storage/index/log-record.js';
import { MailboxIndex } from '#storage/index/mailbox-index.js';
import type { Mailbox } from '#storage/mailbox.js';
import { tryDotLock } from '#util/dot-lock.js';
import { fill, never } from '../../contract/world.js';
import { MaildirWorld } from '../maildir/world.js';

function countingLogger(lines: string[]): Logger {
  const note = (event: string): number => lines.push(event);
  return { ...silentLogger, error: note, warning: note, child: () => countingLogger(lines) };
}

async function openCounted(world: MaildirWorld, driver: MailboxDriver, lines: string[]): Promise<Mailbox> {
  const options = { name: 'box', quota: unlimitedQuota, isReadOnly: false, log: countingLogger(lines) };
  return driver.open(world.paths('box'), options, never);
}

describe('a mailbox without an index', () => {
  it('has one state of modseqs when a peer holds the index lock while it is opened', async () => {
    await using world = await MaildirWorld.make();
    await world.foreign('box', { 'cur/1.M1P1.host,S=3,W=3:2,': 'a\n\n' });
    const lock = tryDotLock(`${world.paths('box').indexDir}/roost.index`);
    assert.ok(lock);
    setTimeout(() => lock.release(), 20);
    const first = await world.open('box');
    await using other = { driver: world.newDriver(), [Symbol.asyncDispose]: () => other.driver.close() };
    const second = await world.open('box', {}, other.driver);
    assert.equal(second.highestModSeq, first.highestModSeq);
  });

  it('waits for a peer that has given one of the two files its name, and says nothing', async () => {
    await using world = await MaildirWorld.make();
    const made = await world.create('box');
    await fill(made, 3);
    const { highestModSeq } = made;
    await world.restart();
    const index = `${world.paths('box').indexDir}/roost.index`;
    renameSync(`${index}.log`, `${index}.log.tmp`);
    const lock = tryDotLock(index);
    assert.ok(lock);
    setTimeout(() => {
      renameSync(`${index}.log.tmp`, `${index}.log`);
      lock.release();
    }, 20);
    const lines: string[] = [];
    await using other = { driver: world.newDriver(), [Symbol.asyncDispose]: () => other.driver.close() };
    const opened = await openCounted(world, other.driver, lines);
    assert.equal(opened.highestModSeq, highestModSeq);
    assert.deepEqual(lines, []);
  });

  it('is made anew with one log line when one of the two files is gone for good', async () => {
    for (const name of ['roost.index', 'roost.index.log']) {
      await using world = await MaildirWorld.make();
      const made = await world.create('box');
      await fill(made, 3);
      const { highestModSeq } = made;
      await world.restart();
      unlinkSync(`${world.paths('box').indexDir}/${name}`);
      const lines: string[] = [];
      await using other = { driver: world.newDriver(), [Symbol.asyncDispose]: () => other.driver.close() };
      const opened = await openCounted(world, other.driver, lines);
      assert.ok(opened.highestModSeq >= highestModSeq, name);
      assert.deepEqual(lines, ['index.rebuilt'], name);
    }
  });
});

describe('an index that two processes make at the same moment', () => {
  it('keeps the modseqs of who was first, also while that one adds a record', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-first-'));
    try {
      const options = { folder, log: silentLogger, maxKeywordLength: 50, maxHistoryRanges: 10 };
      const [late, early] = [await MailboxIndex.open(options), await MailboxIndex.open(options)];
      for (const index of [late, early]) index.append([resetRecord(7, 'ab'.repeat(16))]);
      await early.publish();
      const told = early.state.highestModSeq + 5_000;
      early.append([modSeqRecord(told)]);
      appendFileSync(`${folder}/roost.index.log`, modSeqRecord(told + 1).subarray(0, 9));
      await late.publish();
      assert.ok(late.state.highestModSeq >= told, `${late.state.highestModSeq} < ${told}`);
      const next = await MailboxIndex.open(options);
      assert.ok(next.state.highestModSeq >= told, `${next.state.highestModSeq} < ${told}`);
      for (const index of [late, early, next]) index.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('a log that is looked for', () => {
  it('is not made by looking', async () => {
    await using world = await MaildirWorld.make();
    const path = `${world.paths('box').mailDir}.log`;
    assert.equal(openLog(path), undefined);
    assert.equal(existsSync(path), false);
  });
});
