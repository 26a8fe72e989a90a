// Another server gives UIDs while Roost is about to: what is in dovecot-uidlist by the time Roost has the lock, or has been read by one process and
// not yet taken into the index, keeps its UID.
import assert from 'node:assert/strict';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { takeDotLock } from '#util/dot-lock.js';
import { append, fill, openView, sync, uidsOf } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

const message = 'Subject: one\n\nbody\n';

/** Files by UID, as the list has them. */
async function listed(folder: string): Promise<Readonly<Record<string, string>>> {
  const [, ...lines] = (await readFile(join(folder, 'dovecot-uidlist'), 'latin1')).trimEnd().split('\n');
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(':') + 1)]));
}

describe('A uidlist shared with another server', () => {
  it('keeps the UID that the other gave while Roost waited for the lock with another new file in hand', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    const folder = world.paths('box').mailDir;
    await fill(mailbox, 2);
    await using view = await openView(mailbox);
    await writeFile(join(folder, 'new/1700000001.M1P1.found'), message);
    let looking: Promise<unknown>;
    {
      using _lock = await takeDotLock(join(folder, 'dovecot-uidlist'), { timeoutMs: 1000 });
      looking = sync(view);
      // It has read the folders by now; were it slower, it would find both files at once and the test would show nothing.
      await sleep(50);
      await writeFile(join(folder, 'new/1700000002.M1P1.given'), message);
      await appendFile(join(folder, 'dovecot-uidlist'), '3 :1700000002.M1P1.given\n');
    }
    await looking;
    await append(mailbox);
    await sync(view);
    const files = await listed(folder);
    assert.equal(files[3], '1700000002.M1P1.given');
    assert.equal(files[4], '1700000001.M1P1.found');
    assert.deepEqual(uidsOf(view), [1, 2, 3, 4, 5]);
  });

  it('keeps the UID that one process has read and another has not', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    const folder = world.paths('box').mailDir;
    await fill(mailbox, 2);
    const peer = world.newDriver();
    const same = await world.open('box', {}, peer);
    await using view = await openView(mailbox);
    await using other = await openView(same);
    await writeFile(join(folder, 'new/1700000001.M1P1.found'), message);
    await writeFile(join(folder, 'new/1700000002.M1P1.given'), message);
    await appendFile(join(folder, 'dovecot-uidlist'), '3 :1700000002.M1P1.given\n');
    let looking: Promise<unknown>[];
    {
      using _lock = await takeDotLock(join(folder, 'dovecot-uidlist'), { timeoutMs: 1000 });
      looking = [sync(view)];
      // The first has read the list and waits for the lock, by now looking rarely; the second, which comes first then, must not believe that it
      // need not read the list.
      await sleep(150);
      looking.push(sync(other));
      await sleep(10);
    }
    await Promise.all(looking);
    await sync(view);
    await sync(other);
    const files = await listed(folder);
    assert.equal(files[3], '1700000002.M1P1.given');
    assert.equal(files[4], '1700000001.M1P1.found');
    assert.deepEqual(uidsOf(view), [1, 2, 3, 4]);
    assert.deepEqual(uidsOf(other), [1, 2, 3, 4]);
    await peer.close();
  });

  it('gives a file its new UID when the other has expunged the message and saved another under its name', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    const folder = world.paths('box').mailDir;
    await fill(mailbox, 3);
    await using view = await openView(mailbox);
    const { 2: name } = await listed(folder);
    await appendFile(join(folder, 'dovecot-uidlist'), `4 :${name}\n`);
    await sync(view);
    assert.deepEqual(uidsOf(view), [1, 3, 4]);
    await append(mailbox);
    await sync(view);
    assert.deepEqual(uidsOf(view), [1, 3, 4, 5]);
  });
});
