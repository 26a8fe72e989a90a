import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isOwnerName } from '#storage/owner-directory.js';
import { OwnerPrefix } from '#storage/owner-prefix.js';
import { cpuMs } from '../support/cpu-time.js';

describe('the prefix of a shared namespace', () => {
  for (const [template, separator, name, asker, owner, prefix, rest] of [
    ['shared/%u/', '/', 'shared/otto/Work/a', 'anna', 'otto', 'shared/otto/', 'Work/a'],
    ['shared/%u/', '/', 'shared/otto', 'anna', 'otto', 'shared/otto/', ''],
    ['shared/%u/', '/', 'shared/otto/', 'anna', 'otto', 'shared/otto/', ''],
    ['shared/%u/', '/', 'shared/otto@x.test/Work', 'anna', 'otto@x.test', 'shared/otto@x.test/', 'Work'],
    ['shared/%n/', '/', 'shared/otto/Work', 'anna@x.test', 'otto@x.test', 'shared/otto/', 'Work'],
    ['shared/%n/', '/', 'shared/otto/Work', 'anna', 'otto', 'shared/otto/', 'Work'],
    ['shared/%d/%n/', '/', 'shared/x.test/otto/Work', 'anna@y.test', 'otto@x.test', 'shared/x.test/otto/', 'Work'],
    ['shared/%n@%d/', '/', 'shared/otto@x.test/Work', 'anna', 'otto@x.test', 'shared/otto@x.test/', 'Work'],
    ['user.%u.', '.', 'user.otto.Work', 'anna', 'otto', 'user.otto.', 'Work'],
  ] as const) {
    it(`${template} finds ${owner} in ${name} for ${asker}`, () => {
      assert.deepEqual(new OwnerPrefix(template, separator).match(name, asker), { owner, prefix, rest });
    });
  }

  for (const [template, name] of [
    ['shared/%u/', 'shared'],
    ['shared/%u/', 'shared/'],
    ['shared/%u/', 'shared//Work'],
    ['shared/%u/', 'other/otto/Work'],
    ['shared/%d/%n/', 'shared/x.test'],
  ] as const) {
    it(`${template} finds nobody in ${name}`, () => {
      assert.equal(new OwnerPrefix(template, '/').match(name, 'anna'), undefined);
    });
  }

  it('tells what is before the owner', () => {
    assert.equal(new OwnerPrefix('shared/%d/%n/', '/').root, 'shared/');
    assert.equal(new OwnerPrefix('others/of/%u/', '/').root, 'others/of/');
  });

  it('gives no name to an owner of another domain, or whose name has the separator', () => {
    assert.equal(new OwnerPrefix('shared/%n/', '/').prefixOf('otto@y.test', 'anna@x.test'), undefined);
    assert.equal(new OwnerPrefix('user.%u.', '.').prefixOf('o.tto', 'anna'), undefined);
  });

  for (const template of ['shared/', 'shared/%u', '%u/', 'shared%u/', 'shared/%h/', 'shared/%u/%u/', 'shared/%d/', 'shared/%Lu/']) {
    it(`cannot be ${template}`, () => {
      assert.throws(() => new OwnerPrefix(template, '/'), /namespace configuration error/);
    });
  }

  it('leads back to the owner for every name that a user can have', () => {
    const prefix = new OwnerPrefix('shared/%u/', '/');
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 40 }), (owner) => {
        const made = prefix.prefixOf(owner, 'anna');
        if (!isOwnerName(owner)) return;
        assert.equal(prefix.match(`${made}INBOX`, 'anna')?.owner, owner);
      }),
    );
  });

  it('takes linear time for hostile names', () => {
    const before = cpuMs();
    const prefix = new OwnerPrefix('shared/%n@%d/', '/');
    for (const name of [`shared/${'a'.repeat(100_000)}`, `shared/${'@'.repeat(100_000)}`, `shared/a@${'a/'.repeat(50_000)}`])
      prefix.match(name, 'anna');
    assert.ok(cpuMs() - before < 2000);
  });
});

describe('the name of an owner', () => {
  for (const name of [
    '',
    '.',
    '..',
    '../otto',
    'a/b',
    '..@..',
    'a@..',
    'a@',
    '@a',
    'a\0b',
    'a b',
    'a:INDEX=x',
    '~otto',
    'a\nb',
    '%u',
    'a*',
    'a"b',
    'a\\b',
    'x'.repeat(256),
  ]) {
    it(`is not ${JSON.stringify(name.slice(0, 20))}`, () => {
      assert.equal(isOwnerName(name), false);
    });
  }
  for (const name of ['otto', 'otto.b', 'otto@x.test', 'o-t_t+o', 'jörg', '..a']) {
    it(`may be ${name}`, () => {
      assert.equal(isOwnerName(name), true);
    });
  }
});
