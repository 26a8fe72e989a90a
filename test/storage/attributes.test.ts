import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { type AttributeStore, attributeLimits, createAttributeFiles, createMemoryAttributes } from '#storage/attributes.js';
import { StorageError } from '#storage/errors.js';

const never = new AbortController().signal;

function makeFolder(test: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'roost-attributes-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'roost-attributes');
}

const stores: Readonly<Record<string, (test: TestContext) => AttributeStore>> = {
  memory: createMemoryAttributes,
  files: (test) => createAttributeFiles(makeFolder(test)),
};

for (const [kind, makeStore] of Object.entries(stores)) {
  describe(`attributes (${kind})`, () => {
    it('keep any octets, by owner', async (test) => {
      const store = makeStore(test);
      const octets = Buffer.from([0, 9, 10, 13, 255, 0]);
      await store.change('account', new Map([['/private/a', octets]]), never);
      await store.change('0a1b', new Map([['/private/a', Buffer.from('other')]]), never);
      assert.deepEqual([...(await store.read('account'))], [['/private/a', octets]]);
      await store.change('account', new Map([['/private/a', undefined]]), never);
      assert.equal((await store.read('account')).size, 0);
      await store.remove('0a1b');
      await store.remove('0a1b');
      assert.equal((await store.read('0a1b')).size, 0);
    });

    it('lose no change of several sessions at once, who all have the first value of what each would set', async (test) => {
      const store = makeStore(test);
      const kept = await Promise.all(
        Array.from({ length: 10 }, async (_, index) => {
          await store.change('account', new Map([[`n${index}`, Buffer.from('x')]]), never);
          return store.keep('account', 'key', Buffer.from(`of ${index}`), never);
        }),
      );
      const [first] = kept;
      assert.deepEqual(kept, Array(10).fill(first));
      const values = await store.read('account');
      assert.deepEqual(values.get('key'), first);
      assert.equal(values.size, 11);
    });

    it('take as much as the limits say and nothing more', async (test) => {
      const store = makeStore(test);
      const isLimit = (error: unknown): boolean => error instanceof StorageError && error.code === 'limit';
      await store.change('account', new Map([['a', Buffer.alloc(attributeLimits.valueBytes)]]), never);
      await assert.rejects(store.change('account', new Map([['b', Buffer.alloc(attributeLimits.valueBytes + 1)]]), never), isLimit);
      const many = (count: number) => new Map(Array.from({ length: count }, (_, index) => [`n${index}`, Buffer.from('x')] as const));
      await store.change('1', many(attributeLimits.entries), never);
      await assert.rejects(store.change('1', new Map([['more', Buffer.from('x')]]), never), isLimit);
      assert.equal((await store.read('1')).size, attributeLimits.entries);
    });
  });
}

describe('attribute files', () => {
  it('loses no change of two sessions at once', async (test) => {
    const folder = makeFolder(test);
    const [one, two] = [createAttributeFiles(folder), createAttributeFiles(folder)];
    await Promise.all(
      Array.from({ length: 20 }, (_, index) =>
        (index % 2 === 0 ? one : two).change('account', new Map([[`n${index}`, Buffer.from('x')]]), never),
      ),
    );
    assert.equal((await one.read('account')).size, 20);
    assert.deepEqual(readdirSync(folder), ['account']);
    assert.match(readFileSync(join(folder, 'account'), 'utf8'), /^roost-attributes 1\nn/);
  });

  it('refuses a file that is none of its own, and owners that are no names', async (test) => {
    const folder = makeFolder(test);
    const store = createAttributeFiles(folder);
    await store.change('account', new Map([['a', Buffer.from('x')]]), never);
    writeFileSync(join(folder, 'account'), 'something else\n');
    await assert.rejects(store.read('account'), (error) => error instanceof StorageError && error.code === 'corrupt');
    await assert.rejects(store.read('../x'), StorageError);
  });
});
