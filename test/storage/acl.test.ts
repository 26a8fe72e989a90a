import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { changeAcl, grantedRights, ownerRights, parseAcl } from '#storage/acl.js';

const who = (name: string) => ({ name, groups: ['team', 'choir'] });

describe('access control lists', () => {
  it('reads what Dovecot writes: letters, words, quotes, negative rights', () => {
    assert.deepEqual(
      parseAcl('user=joe lrs\nowner lrwa\n-anyone x\ngroup="the staff" :lookup read\nuser="a\\"b" l\n"-user=big joe" x\n# note\n\n'),
      [
        { identifier: 'user=joe', rights: 'lrs' },
        { identifier: 'owner', rights: 'lrwa' },
        { identifier: '-anyone', rights: 'x' },
        { identifier: 'group=the staff', rights: 'lr' },
        { identifier: 'user=a"b', rights: 'l' },
        { identifier: '-user=big joe', rights: 'x' },
      ],
    );
  });

  it('changes one entry and keeps lines it does not understand', () => {
    assert.equal(changeAcl('foo bar\nuser=joe lrs\n', 'user=joe', 'l'), 'foo bar\nuser=joe l\n');
    assert.equal(changeAcl('foo bar\nuser=joe lrs\n', 'user=joe', undefined), 'foo bar\n');
    assert.equal(changeAcl('', 'user=big joe', 'lr'), '"user=big joe" lr\n');
  });

  it('leaves a mailbox to its owner when a line is not understood', () => {
    assert.equal(ownerRights(parseAcl('anyone lr\nfoo bar'), who('anna')), 'lrwstipekxa');
    assert.equal(ownerRights(parseAcl('owner lr\nfoo bar'), who('anna')), 'lra');
  });

  it('does not grow without end, and drops nothing instead', () => {
    const full = Array.from({ length: 1000 }, (_, index) => `user=u${index} l\n`).join('');
    assert.equal(changeAcl(full, 'user=u7', 'lr').split('\n').length, 1001);
    assert.throws(() => changeAcl(full, 'user=joe', 'l'), { code: 'limit' });
  });

  it('leaves the owner everything unless the list says otherwise, and always the right to administer', () => {
    assert.equal(ownerRights([], who('anna')), 'lrwstipekxa');
    assert.equal(ownerRights([{ identifier: 'user=joe', rights: 'l' }], who('anna')), 'lrwstipekxa');
    assert.equal(ownerRights([{ identifier: 'owner', rights: 'lr' }], who('anna')), 'lra');
    assert.equal(ownerRights([{ identifier: 'user=anna', rights: 'l' }], who('anna')), 'la');
    assert.equal(ownerRights([{ identifier: '-owner', rights: 'xa' }], who('anna')), 'lrwstipeka');
  });

  it('reads back any identifier it wrote', () => {
    const name = fc.string({ minLength: 1, maxLength: 20 }).filter((text) => !/[\x00-\x1f\x7f]/.test(text));
    fc.assert(
      fc.property(name, (text) => {
        const identifier = `user=${text}`;
        assert.deepEqual(parseAcl(changeAcl('owner l\n', identifier, 'lr')), [
          { identifier: 'owner', rights: 'l' },
          { identifier, rights: 'lr' },
        ]);
      }),
    );
  });

  for (const [text, user, rights] of [
    ['', 'joe', ''],
    ['owner lrwa', 'joe', ''],
    ['anyone lr', 'joe', 'lr'],
    ['anyone lr\nauthenticated lrs', 'joe', 'lrs'],
    ['anyone lrwa\nuser=joe l', 'joe', 'l'],
    ['anyone lrwa\nuser=joe l', 'jane', 'lrwa'],
    ['anyone lrw\n-user=joe w', 'joe', 'lr'],
    ['user=joe lrw\n-anyone r', 'joe', 'lw'],
    ['group=staff lr', 'joe', ''],
    ['group=team lr', 'joe', 'lr'],
    ['group=team lr\ngroup=choir lw', 'joe', 'lrw'],
    ['anyone lrwa\ngroup=team l', 'joe', 'l'],
    ['group=team l\nuser=joe lrs', 'joe', 'lrs'],
    ['user=joe lrs\ngroup-override=choir l', 'joe', 'l'],
    ['user=joe lrs\n-group=team s', 'joe', 'lr'],
    ['owner lr', 'joe', ''],
    ['# note\nuser=joe lr', 'joe', 'lr'],
    ['user=joe lr\n-usr=joe r', 'joe', ''],
    ['anyone lr\nfoo bar', 'joe', ''],
  ] as const) {
    it(`give ${user} "${rights}" of a mailbox that nobody owns by ${JSON.stringify(text)}`, () => {
      assert.equal(grantedRights(parseAcl(text), who(user)), rights);
    });
  }
});
