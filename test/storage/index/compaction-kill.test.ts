// A process is killed at whatever moment of writing roost.cache anew. ROOST_CRASH_ROUNDS sets how often (6 unless told).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Logger, silentLogger } from '#log/logger.js';
import { unlimitedQuota } from '#storage/driver.js';
import type { Mailbox } from '#storage/mailbox.js';
import { addMessage, expunge, never, openView, sync } from '../../contract/world.js';
import { memoryFolder } from '../../support/memory-folder.js';
import { patienceMs } from '../../support/patience.js';
import { MaildirWorld } from '../maildir/world.js';

const rounds = Number(process.env['ROOST_CRASH_ROUNDS'] ?? 6);
const messages = 600;
/** Their records are written in several pieces. */
const kept = 250;
const headerBytes = 6_000;

async function makeWasteful(mailbox: Mailbox): Promise<void> {
  {
    await using transaction = mailbox.beginAppend('append');
    for (let number = 1; number <= messages; number += 1)
      await addMessage(
        transaction,
        `Subject: number ${number}\r\nReferences: ${'<reference@example.org> '.repeat(headerBytes / 24)}\r\n\r\nx\r\n`,
      );
    await transaction.commit(never);
  }
  await subjects(mailbox);
}

async function subjects(mailbox: Mailbox): Promise<string[]> {
  await using view = await openView(mailbox);
  await sync(view);
  const seqs = Array.from({ length: view.count }, (_, index) => index + 1);
  await view.prepare(seqs, { envelope: true, headers: ['subject', 'references'] }, never);
  return seqs.map((seq) => `${view.uidAt(seq)} ${view.headerFieldsAt(seq, ['subject']).toString('latin1').slice(9).trim()}`);
}

function countingLogger(lines: string[]): Logger {
  const note = (event: string): number => lines.push(event);
  return { ...silentLogger, error: note, warning: note, child: () => countingLogger(lines) };
}

/** Ends it some moments after it has begun to write. */
async function killWhileCompacting(mailDir: string, delayMs: number): Promise<void> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('compaction-child.js', import.meta.url)), mailDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const before = statSync(join(mailDir, 'roost.cache')).ino;
  const isWriting = (): boolean =>
    statSync(join(mailDir, 'roost.cache.tmp'), { throwIfNoEntry: false }) !== undefined ||
    statSync(join(mailDir, 'roost.cache')).ino !== before;
  for (const deadline = Date.now() + patienceMs; !isWriting(); ) {
    assert.ok(Date.now() < deadline && child.exitCode === null, 'it never began');
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const until = performance.now() + delayMs; performance.now() < until; ) await new Promise((resolve) => setImmediate(resolve));
  child.kill('SIGKILL');
  await ended;
}

describe('a process that is killed while it writes roost.cache anew', () => {
  it('costs nothing', { timeout: 2 * patienceMs }, async () => {
    await using world = await MaildirWorld.make({}, memoryFolder());
    const mailbox = await world.create('box');
    await makeWasteful(mailbox);
    await world.restart();
    // By a process that has not opened the cache.
    const again = await world.open('box');
    {
      await using view = await openView(again);
      await expunge(
        view,
        Array.from({ length: messages - kept }, (_, index) => index + 1),
      );
    }
    await world.restart();
    const { mailDir } = world.paths('box');
    const expected = Array.from({ length: kept }, (_, index) => {
      const number = messages - kept + 1 + index;
      return `${number} number ${number}`;
    });
    for (let round = 0; round < rounds; round += 1) {
      const copy = `${mailDir}.${round}`;
      await cp(mailDir, copy, { recursive: true, preserveTimestamps: true });
      await killWhileCompacting(copy, (round / rounds) * 8);
      const lines: string[] = [];
      const driver = world.newDriver();
      const paths = { mailDir: copy, controlDir: copy, indexDir: copy, accountControlDir: copy };
      const options = { name: 'box', quota: unlimitedQuota, isReadOnly: false, log: countingLogger(lines) };
      const opened = await driver.open(paths, options, never);
      for (let turn = 0; turn < 2; turn += 1) assert.deepEqual(await subjects(opened), expected, `round ${round}`);
      await driver.close();
      assert.deepEqual(lines, [], `round ${round}`);
    }
  });
});
