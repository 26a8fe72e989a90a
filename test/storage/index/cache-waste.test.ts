// A cache grows with what comes and does not shrink with what goes, until most of it is about messages long gone.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { Mailbox } from '#storage/mailbox.js';
import { addMessage, append, expunge, never, openView, sync } from '../../contract/world.js';
import { memoryFolder } from '../../support/memory-folder.js';
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

describe('roost.cache', () => {
  it('is begun anew, by the next message, when most of what it holds is of messages long gone', async () => {
    await using world = await MaildirWorld.make({}, memoryFolder());
    const path = join(world.paths('box').mailDir, 'roost.cache');
    const mailbox = await world.create('box');
    await fillLarge(mailbox);
    await subjects(mailbox);
    const full = statSync(path).size;
    assert.ok(full > messages * headerBytes, `${full} octets: nothing was cached`);
    {
      await using view = await openView(mailbox);
      await expunge(
        view,
        Array.from({ length: messages - kept }, (_, index) => index + 1),
      );
    }
    const expected = Array.from({ length: kept }, (_, index) => `number ${messages - kept + 1 + index}`);
    assert.deepEqual(await subjects(mailbox), expected);
    await append(mailbox, 'Subject: late\r\n\r\nx\r\n');
    expected.push('late');
    // It is thrown away, and begun by who needs it next.
    for (let turn = 0; turn < 2; turn += 1) assert.deepEqual(await subjects(mailbox), expected);
    assert.ok(statSync(path).size < full / 5, `${statSync(path).size} of ${full} octets`);
    await world.restart();
    assert.deepEqual(await subjects(await world.open('box')), expected);
  });
});
