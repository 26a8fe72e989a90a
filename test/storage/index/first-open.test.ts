// Processes that are the first to open a mailbox, all at the same moment.
import assert from 'node:assert/strict';
import { existsSync, renameSync, unlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type Logger, silentLogger } from '#log/logger.js';
import { type MailboxDriver, unlimitedQuota } from '#storage/driver.js';
import { openLog } from '#storage/index/index-files.js';
import type { Mailbox } from '#storage/mailbox.js';
import { tryDotLock } from '#util/dot-lock.js';
import { fill, never } from '../../contract/world.js';
import { MaildirWorld } from '../maildir/world.js';

function countingLogger(lines: string[]): Logger {
  const note = (event: string): number => lines.push(event);
  return { ...silentLogger, error: note, warning: note, child: () => countingLogger(lines) };
}

function openCounted(world: MaildirWorld, driver: MailboxDriver, lines: string[]): Promise<Mailbox> {
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

describe('a log that is looked for', () => {
  it('is not made by looking', async () => {
    await using world = await MaildirWorld.make();
    const path = `${world.paths('box').mailDir}.log`;
    assert.equal(openLog(path), undefined);
    assert.equal(existsSync(path), false);
  });
});
