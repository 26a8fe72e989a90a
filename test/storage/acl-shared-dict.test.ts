import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { changeOwner, openSharedDict, parseDict, readersOf } from '#storage/acl-shared-dict.js';
import { never } from '../contract/world.js';

function makeDict(test: TestContext, contents?: string) {
  const folder = mkdtempSync(join(tmpdir(), 'roost-dict-'));
  test.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'shared-mailboxes');
  if (contents !== undefined) writeFileSync(path, contents);
  return { path, dict: openSharedDict(`file:${path}`) };
}

const anna = { name: 'anna', groups: ['staff'] };

describe('the dictionary of shared mailboxes', () => {
  it('tells the owners who share with a user, the groups of the user, and everybody where that is allowed', async (test) => {
    const { dict } = makeDict(
      test,
      'shared/shared-boxes/user/anna/otto\n1\nshared/shared-boxes/group/staff/eve\n1\nshared/shared-boxes/anyone/joe\n1\nshared/shared-boxes/user/bob/kim\n1\nshared/shared-boxes/user/anna/anna\n1\n',
    );
    assert.deepEqual(await dict.ownersFor(anna, false), ['eve', 'otto']);
    assert.deepEqual(await dict.ownersFor(anna, true), ['eve', 'joe', 'otto']);
    assert.deepEqual(await dict.ownersFor({ name: 'none', groups: [] }, false), []);
  });

  it('is written as Dovecot writes it, and keeps what is of others', async (test) => {
    const { path, dict } = makeDict(
      test,
      'priv/other\nvalue\nshared/shared-boxes/user/anna/eve\n1\nshared/shared-boxes/user/bob/otto\n1\n',
    );
    await dict.replace('otto', async () => new Set(['user/anna', 'group/staff']), never);
    assert.equal(
      readFileSync(path, 'utf8'),
      'priv/other\nvalue\nshared/shared-boxes/user/anna/eve\n1\nshared/shared-boxes/user/anna/otto\n1\nshared/shared-boxes/group/staff/otto\n1\n',
    );
    await dict.replace('otto', async () => new Set(), never);
    assert.equal(readFileSync(path, 'utf8'), 'priv/other\nvalue\nshared/shared-boxes/user/anna/eve\n1\n');
  });

  it('takes no change from writers at the same time', async (test) => {
    const { dict } = makeDict(test);
    const owners = Array.from({ length: 20 }, (_, index) => `owner${index}`);
    await Promise.all(owners.map((owner) => dict.replace(owner, async () => new Set(['user/anna']), never)));
    assert.deepEqual(await dict.ownersFor(anna, false), owners.sort());
  });

  it('reads what is whole of a torn file', () => {
    const text = 'shared/shared-boxes/user/anna/otto\n1\nshared/shared-boxes/user/anna/eve\n1\n';
    for (let length = 0; length <= text.length; length += 1) {
      for (const [key, value] of parseDict(text.slice(0, length)))
        assert.ok(/^shared\/shared-boxes\/user\/anna\/(otto|eve)$/.test(key) && value === '1');
    }
  });

  it('has a place for any names', async () => {
    const name = fc.string({ minLength: 1, maxLength: 12 }).filter((text) => !/[\x00-\x1f]/.test(text));
    fc.assert(
      fc.property(name, name, name, (owner, reader, other) => {
        const readers = new Set(readersOf([{ identifier: `user=${reader}`, rights: 'l' }], owner, false));
        const text = changeOwner('', owner, readers) ?? '';
        assert.equal(parseDict(text).size, reader === owner ? 0 : 1);
        if (other !== owner) assert.equal(changeOwner(text, other, new Set()), undefined);
        assert.equal(changeOwner(text, owner, new Set()), text === '' ? undefined : '');
      }),
    );
  });

  it('is for those who may look up', () => {
    const entries = [
      { identifier: 'user=bob', rights: 'lr' },
      { identifier: 'user=joe', rights: 'r' },
      { identifier: '-user=eve', rights: 'l' },
      { identifier: 'user=otto', rights: 'l' },
      { identifier: 'owner', rights: 'l' },
      { identifier: 'group-override=staff', rights: 'l' },
      { identifier: 'anyone', rights: 'l' },
    ];
    assert.deepEqual(readersOf(entries, 'otto', false), ['user/bob', 'group/staff']);
    assert.deepEqual(readersOf(entries, 'otto', true), ['user/bob', 'group/staff', 'anyone']);
  });

  for (const setting of ['proxy::acl', 'file:relative', 'sqlite:/x', '']) {
    it(`cannot be ${JSON.stringify(setting)}`, () => {
      assert.throws(() => openSharedDict(setting), { code: 'unavailable' });
    });
  }
});
