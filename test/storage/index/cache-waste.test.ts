// A cache grows with what comes and does not shrink with what goes, until most of it is about messages long gone: then it is written anew.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Mailbox } from '#storage/mailbox.js';
import { addMessage, append, expunge, never, openView, sync } from '../../contract/world.js';
import { memoryFolder } from '../../support/memory-folder.js';
import { patienceMs } from '../../support/patience.js';
import { MaildirWorld } from '../maildir/world.js';

const messages = 600;
const kept = 20;
/** Of the cached header of a message, about. */
const headerBytes = 6_000;

async function fillLarge(mailbox: Mailbox): Promise<void> {
  await using transaction = mailbox.beginAppend('append');
  for (let number = 1; number <= messages; number += 1)
    await addMessage(
      transaction,
      `Subject: number ${number}\r\nReferences: ${'<reference@example.org> '.repeat(headerBytes / 24)}\r\n\r\nx\r\n`,
    );
  await transaction.commit(never);
}

async function subjects(mailbox: Mailbox): Promise<string[]> {
  await using view = await openView(mailbox);
  await sync(view);
  const seqs = Array.from({ length: view.count }, (_, index) => index + 1);
  await view.prepare(seqs, { envelope: true, headers: ['subject', 'references'] }, never);
  return seqs.map((seq) => view.headerFieldsAt(seq, ['subject']).toString('latin1').slice(9).trim());
}

const driverOf = (world: MaildirWorld) => ({
  driver: world.newDriver(),
  [Symbol.asyncDispose]() {
    return this.driver.close();
  },
});

async function expungeMost(mailbox: Mailbox): Promise<string[]> {
  await using view = await openView(mailbox);
  await expunge(
    view,
    Array.from({ length: messages - kept }, (_, index) => index + 1),
  );
  await sync(view);
  return Array.from({ length: kept }, (_, index) => `number ${messages - kept + 1 + index}`);
}

/** Looks at the mailbox until the file is small. */
async function untilCompacted(path: string, limit: number, look: () => Promise<unknown>): Promise<void> {
  for (const deadline = Date.now() + patienceMs; statSync(path).size >= limit; ) {
    assert.ok(Date.now() < deadline, `${statSync(path).size} octets`);
    await look();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('roost.cache', () => {
  it('is written anew with what is left when most of what it holds is of messages long gone', async () => {
    await using world = await MaildirWorld.make({}, memoryFolder());
    const path = join(world.paths('box').mailDir, 'roost.cache');
    const mailbox = await world.create('box');
    await fillLarge(mailbox);
    await subjects(mailbox);
    const full = statSync(path).size;
    assert.ok(full > messages * headerBytes, `${full} octets: nothing was cached`);
    const expected = await expungeMost(mailbox);
    await untilCompacted(path, full / 5, () => subjects(mailbox));
    assert.ok(statSync(path).size > kept * headerBytes, 'what is left is still cached');
    assert.equal(existsSync(`${path}.tmp`), false);
    assert.equal(existsSync(`${path}.lock`), false);
    const compacted = readFileSync(path);
    await append(mailbox, 'Subject: late\r\n\r\nx\r\n');
    expected.push('late');
    assert.deepEqual(await subjects(mailbox), expected);
    const after = readFileSync(path);
    assert.deepEqual(after.subarray(0, compacted.length), compacted, 'what is cached is not made again');
    assert.ok(after.length < compacted.length + 2_000, `${after.length - compacted.length} octets were added for one message`);
    await world.restart();
    assert.deepEqual(await subjects(await world.open('box')), expected);
    assert.deepEqual(readFileSync(path), after, 'nor by the next process');
  });

  it('is not written anew when its messages are large', async () => {
    await using world = await MaildirWorld.make({}, memoryFolder());
    const path = join(world.paths('box').mailDir, 'roost.cache');
    const mailbox = await world.create('box');
    await fillLarge(mailbox);
    await subjects(mailbox);
    const { ino, size } = statSync(path);
    await world.restart();
    await subjects(await world.open('box'));
    await world.driver.close();
    assert.deepEqual([statSync(path).ino, statSync(path).size], [ino, size]);
  });

  it('is found by a peer that has it open while another process writes it anew', async () => {
    await using world = await MaildirWorld.make({}, memoryFolder());
    const path = join(world.paths('box').mailDir, 'roost.cache');
    const mailbox = await world.create('box');
    await fillLarge(mailbox);
    await using other = driverOf(world);
    const theirs = await world.open('box', {}, other.driver);
    await subjects(theirs);
    await subjects(mailbox);
    const full = statSync(path).size;
    const expected = await expungeMost(mailbox);
    // Both find it too large at the same time.
    await untilCompacted(path, full / 5, () => Promise.all([subjects(mailbox), subjects(theirs)]));
    const { size } = statSync(path);
    for (const box of [mailbox, theirs, mailbox, theirs]) assert.deepEqual(await subjects(box), expected);
    assert.ok(statSync(path).size < size + 2_000, 'they work with one file');
  });

  it('is compacted after a process died over it', async () => {
    await using world = await MaildirWorld.make({}, memoryFolder());
    const path = join(world.paths('box').mailDir, 'roost.cache');
    const mailbox = await world.create('box');
    await fillLarge(mailbox);
    await subjects(mailbox);
    const full = statSync(path).size;
    writeFileSync(`${path}.tmp`, readFileSync(path).subarray(0, full / 3));
    const child = spawnSync(process.execPath, ['-e', '']);
    writeFileSync(`${path}.lock`, `${child.pid}:${hostname()}`);
    const expected = await expungeMost(mailbox);
    await untilCompacted(path, full / 5, () => subjects(mailbox));
    assert.deepEqual(await subjects(mailbox), expected);
    assert.equal(existsSync(`${path}.tmp`), false);
    assert.equal(existsSync(`${path}.lock`), false);
  });

  it('stays as it is while another process compacts it, and when that cannot be done', async () => {
    await using world = await MaildirWorld.make({}, memoryFolder());
    const path = join(world.paths('box').mailDir, 'roost.cache');
    const mailbox = await world.create('box');
    await fillLarge(mailbox);
    await subjects(mailbox);
    const { ino } = statSync(path);
    // Nobody can write there.
    mkdirSync(`${path}.tmp`);
    const expected = await expungeMost(mailbox);
    for (let turn = 0; turn < 3; turn += 1) assert.deepEqual(await subjects(mailbox), expected);
    await world.driver.close();
    assert.equal(statSync(path).ino, ino);
    assert.equal(existsSync(`${path}.lock`), false);
  });
});
