import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { arrivalOf, NameMaker, sizedName } from '#storage/maildir/file-name.js';
import { nameWithUid, uidInName } from '#storage/maildir/uid-in-name.js';
import { append, openView, uidsOf } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

const guid = '0123456789abcdef0123456789abcdef';
const baseName = sizedName(new NameMaker('mx.example', 4711).next(1_700_000_000_123), 10, 12);

describe('A UID in the name of a file', () => {
  it('is read from what was written, whatever flags follow', () => {
    for (const uid of [1, 9, 4_294_967_294]) {
      const name = nameWithUid(baseName, uid, guid) ?? '';
      assert.equal(uidInName(name, guid), uid);
      assert.equal(uidInName(`${name}:2,FS`, guid), uid);
      assert.match(name, /^1700000000\.M123000P4711R[0-9a-f]{12}U\d+-[0-9a-f]{8}\.mx\.example,S=10,W=12$/);
      assert.deepEqual(arrivalOf(name), [1_700_000_000, 123_000]);
    }
  });

  it('says nothing in another mailbox, or once any octet of the base name is another', () => {
    const name = nameWithUid(baseName, 77, guid) ?? '';
    assert.equal(uidInName(name, guid.replace('0', '1')), 0);
    assert.equal(uidInName(name, ''), 0);
    for (let at = 0; at < name.length; at += 1) {
      const other = name[at] === '1' ? '2' : '1';
      assert.equal(uidInName(`${name.slice(0, at)}${other}${name.slice(at + 1)}`, guid), 0, `octet ${at}`);
      assert.equal(uidInName(name.slice(0, at), guid), 0, `first ${at}`);
    }
  });

  it('is not in names of other forms, and is not put into them', () => {
    for (const name of ['', 'U5', '1.U5-00000000.', '1700000000.V5U12.host', 'new message', 'a.b', '1700000000.M1P1.U5-12345678.host'])
      assert.equal(uidInName(name, guid), 0, name);
    assert.equal(nameWithUid('a.b', 5, guid), undefined);
    assert.equal(nameWithUid(baseName, 5, ''), undefined);
  });
});

describe('A file that the uidlist does not know', () => {
  const options = { fsync: 'optimized', writeOut: () => undefined } as const;

  /** @returns the UIDs that are found once the power has gone before the last lines of the list, and the index, were on the disk */
  async function uidsAfter(keptLines: number, change: (mailDir: string) => void): Promise<readonly number[]> {
    await using world = await MaildirWorld.make(options);
    const a = await world.create('A');
    for (const name of ['one', 'two', 'three', 'four']) await append(a, `Subject: ${name}\r\n\r\n`);
    await world.restart();
    const { mailDir } = world.paths('A');
    const list = join(mailDir, 'dovecot-uidlist');
    const lines = readFileSync(list, 'latin1').split('\n');
    writeFileSync(list, `${lines.slice(0, 1 + keptLines).join('\n')}\n`, 'latin1');
    for (const name of readdirSync(mailDir)) if (name.startsWith('roost.')) rmSync(join(mailDir, name));
    change(mailDir);
    await using view = await openView(await world.open('A'));
    return uidsOf(view);
  }

  function nameOf(mailDir: string, uid: number): string {
    return readdirSync(join(mailDir, 'new')).find((name) => name.includes(`U${uid}-`)) ?? '';
  }

  it('gets the UID of its name', async () => {
    assert.deepEqual(await uidsAfter(1, () => undefined), [1, 2, 3, 4]);
    assert.deepEqual(await uidsAfter(0, () => undefined), [1, 2, 3, 4]);
  });

  it('keeps it where others are gone, and comes before those that have none', async () => {
    const uids = await uidsAfter(1, (mailDir) => {
      rmSync(join(mailDir, 'new', nameOf(mailDir, 3)));
      writeFileSync(join(mailDir, 'new', '1700000000.M1P1.old'), 'Subject: another\r\n\r\n');
    });
    assert.deepEqual(uids, [1, 2, 4, 5]);
  });

  it('gets a new one where the list has had that UID, or the name has been changed', async () => {
    const uids = await uidsAfter(2, (mailDir) => {
      const name = nameOf(mailDir, 1);
      renameSync(join(mailDir, 'new', name), join(mailDir, 'new', name.replace(/U1-.{8}/, '')));
      renameSync(join(mailDir, 'new', nameOf(mailDir, 4)), join(mailDir, 'new', nameOf(mailDir, 4).replace('U4-', 'U9-')));
    });
    assert.deepEqual(uids, [2, 3, 4, 5]);
  });
});
