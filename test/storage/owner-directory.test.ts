import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { OwnerDirectory } from '#storage/owner-directory.js';
import { never } from '../contract/world.js';

function counting(users: Readonly<Record<string, Readonly<Record<string, string>>>>) {
  const asked: string[] = [];
  const directory = new OwnerDirectory(async (name) => {
    asked.push(name);
    const fields = users[name.toLowerCase()];
    return fields === undefined ? undefined : { user: name.toLowerCase(), fields };
  }, silentLogger);
  return { asked, directory };
}

describe('looking up owners of shared mailboxes', () => {
  it('asks userdb once for a name, also for one that is nobody', async () => {
    const { asked, directory } = counting({ otto: { home: '/h' } });
    for (let time = 0; time < 3; time += 1) {
      assert.equal((await directory.find('otto', 'anna', never))?.user, 'otto');
      assert.equal(await directory.find('nobody', 'anna', never), undefined);
    }
    assert.deepEqual(asked, ['otto', 'nobody']);
  });

  it('asks once for all who ask at the same time', async () => {
    const { asked, directory } = counting({ otto: { home: '/h' } });
    const found = await Promise.all(Array.from({ length: 50 }, () => directory.find('otto', 'anna', never)));
    assert.equal(new Set(found).size, 1);
    assert.deepEqual(asked, ['otto']);
  });

  it('does not ask for what cannot be a name', async () => {
    const { asked, directory } = counting({});
    for (const name of ['../otto', '..', 'a/b', 'a\0', '']) assert.equal(await directory.find(name, 'anna', never), undefined);
    assert.deepEqual(asked, []);
  });

  it('keeps only what mail is found and counted by', async () => {
    const { directory } = counting({
      otto: { home: '/h', quota_rule: '*:storage=1', uid: '5', password: 'x', nopassword: 'y', proxy_maybe: 'z' },
    });
    assert.deepEqual((await directory.find('otto', 'anna', never))?.fields, { home: '/h', quota_rule: '*:storage=1', uid: '5' });
  });

  it('has one spelling for each user', async () => {
    const { directory } = counting({ otto: { home: '/h' } });
    assert.equal(await directory.find('OTTO', 'anna', never), undefined);
  });

  it('lets a user wait who asks for many that are not there, and nobody else', async () => {
    const { asked, directory } = counting({ otto: {} });
    for (let number = 0; number < 30; number += 1) await directory.find(`nobody${number}`, 'anna', never);
    const abort = new AbortController();
    const waiting = directory.find('nobody-else', 'anna', abort.signal);
    assert.equal(await directory.find('nobody-else', 'eve', never), undefined);
    assert.equal(asked.length, 31);
    abort.abort(new Error('gone'));
    await assert.rejects(waiting, /gone/);
    assert.equal((await directory.find('otto', 'eve', never))?.user, 'otto');
  });

  it('remembers a bounded number of names', async () => {
    const { asked, directory } = counting({});
    for (let number = 0; number < 1200; number += 1) await directory.find(`nobody${number}`, `user${number}`, never);
    await directory.find('nobody0', 'anna', never);
    assert.equal(asked.length, 1201);
  });

  it('says that userdb cannot be asked rather than that there is nobody', async () => {
    const directory = new OwnerDirectory(async () => {
      throw new Error('auth is away');
    }, silentLogger);
    await assert.rejects(directory.find('otto', 'anna', never), { code: 'unavailable' });
  });
});
