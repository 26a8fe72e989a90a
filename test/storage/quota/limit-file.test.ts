import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { StorageError } from '#storage/errors.js';
import { createQuotaLimitFile, formatFileDict, parseFileDict, parseLimitLocation } from '#storage/quota/limit-file.js';
import { never } from '../../contract/world.js';

const none = Number.POSITIVE_INFINITY;

function makePath(test: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'roost-limits-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'limits');
}

describe('A file of quota limits', () => {
  it('says nothing where nobody has set any', (test) => {
    const path = makePath(test as TestContext);
    assert.equal(createQuotaLimitFile(path).read('User quota'), undefined);
    writeFileSync(path, 'priv/other\nvalue\n');
    assert.equal(createQuotaLimitFile(path).read('User quota'), undefined);
  });

  it('holds limits for each root, in units that people read, beside other keys', async (test) => {
    const path = makePath(test as TestContext);
    writeFileSync(path, 'priv/other\nvalue\n');
    const limits = createQuotaLimitFile(path);
    await limits.set('User quota', { storage: 2048, messages: none, mailboxes: 7 }, never);
    await limits.set('Two', { storage: none, messages: 5, mailboxes: none }, never);
    assert.match(readFileSync(path, 'utf8'), /^priv\/other\nvalue\npriv\/quota\/limit\/User quota\/storage\n2\n/);
    assert.deepEqual(limits.read('User quota'), { storage: 2048, messages: none, mailboxes: 7 });
    assert.deepEqual(createQuotaLimitFile(path).read('Two'), { storage: none, messages: 5, mailboxes: none });
  });

  it('is read again when another process has changed it', async (test) => {
    const path = makePath(test as TestContext);
    const [one, two] = [createQuotaLimitFile(path), createQuotaLimitFile(path)];
    await one.set('q', { storage: none, messages: 1, mailboxes: none }, never);
    assert.equal(two.read('q')?.messages, 1);
    await one.set('q', { storage: none, messages: 2, mailboxes: none }, never);
    assert.equal(two.read('q')?.messages, 2);
  });

  for (const [title, text] of [
    ['a value that is missing', 'priv/quota/limit/q/messages\n'],
    ['a last line without its end', 'priv/quota/limit/q/messages\n1'],
    ['more than a file of limits has', 'a\n'.repeat(40_000)],
  ] as const) {
    it(`is refused with ${title}`, (test) => {
      const path = makePath(test as TestContext);
      writeFileSync(path, text);
      assert.throws(
        () => createQuotaLimitFile(path).read('q'),
        (error) => error instanceof StorageError && error.code === 'corrupt',
      );
    });
  }

  it('keeps every text', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '\\', '\n', '\t', 'n', 'ä', ' ', '/') });
    fc.assert(
      fc.property(fc.uniqueArray(fc.tuple(text, text), { selector: ([key]) => key, maxLength: 6 }), (pairs) => {
        const values = new Map(pairs);
        assert.deepEqual(parseFileDict(formatFileDict(values)), values);
      }),
    );
  });

  for (const [text, path] of [
    ['dict:file:/home/anna/limits', '/home/anna/limits'],
    ['file:/x', '/x'],
    ['dict:proxy::sqlquota', undefined],
    ['dict:file:relative', undefined],
    ['file:/folder/', undefined],
    ['', undefined],
  ] as const) {
    it(`is ${path ?? 'nowhere'} with quota_set = ${text}`, () => assert.equal(parseLimitLocation(text), path));
  }
});
