import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { countMaildirs, sizeInName } from '#storage/quota/count-maildirs.js';
import { createMaildirSizeBackend, formatLimitLine, maxFileBytes, parseMaildirSize } from '#storage/quota/maildir-size.js';
import { never } from '../../contract/world.js';

const none = Number.POSITIVE_INFINITY;
const limits = { storage: 1000, messages: 100 };

function makeMaildir(test: TestContext): { readonly folder: string; readonly path: string } {
  const folder = mkdtempSync(join(tmpdir(), 'roost-quota-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const part of ['cur', 'new', 'tmp']) mkdirSync(join(folder, part));
  return { folder, path: join(folder, 'maildirsize') };
}

const put = (folder: string, name: string, bytes = 1): void => writeFileSync(join(folder, name), 'x'.repeat(bytes));
const text = (path: string): string => readFileSync(path, 'latin1');

describe('maildirsize', () => {
  for (const [contents, expected] of [
    ['1000S,100C\n10 1\n', { limits, bytes: 10, messages: 1, lines: 1 }],
    ['1000S\n10 1\n-5 -1\n  7   2 \n', { limits: { storage: 1000, messages: none }, bytes: 12, messages: 2, lines: 3 }],
    ['100C\n0 0\n', { limits: { storage: none, messages: 100 }, bytes: 0, messages: 0, lines: 1 }],
    ['0S\n1 1\n', { limits: { storage: none, messages: none }, bytes: 1, messages: 1, lines: 1 }],
    ['1000S,100C\n', { limits, bytes: 0, messages: 0, lines: 0 }],
    ['', undefined],
    ['1000S,100C', undefined],
    ['1000S,100C\n10 1', undefined],
    ['1000S,100C\n10\n', undefined],
    ['1000S,100C\n10 x\n', undefined],
    ['1000X\n10 1\n', undefined],
    ['garbage\n', undefined],
  ] as const) {
    it(`${JSON.stringify(contents)} is ${expected === undefined ? 'not one' : `${expected.bytes} octets`}`, () => {
      assert.deepEqual(parseMaildirSize(contents), expected);
    });
  }

  for (const [given, expected] of [
    [limits, '1000S,100C'],
    [{ storage: 5, messages: none }, '5S'],
    [{ storage: none, messages: 5 }, '5C'],
    [{ storage: none, messages: none }, '0S'],
  ] as const) {
    it(`has the first line ${expected} for ${given.storage} and ${given.messages}`, () => assert.equal(formatLimitLine(given), expected));
  }

  it('is counted when it is not there, from sizes in names and files', async (test) => {
    const { folder, path } = makeMaildir(test);
    put(folder, 'cur/1.a,S=10,W=12:2,S');
    put(folder, 'cur/2.a,S=20:2,');
    put(folder, 'new/3.a', 7);
    put(folder, 'cur/.hidden', 99);
    const backend = createMaildirSizeBackend({ path, limits, folders: async () => [folder, join(folder, '.gone')] });
    assert.deepEqual(await backend.usage(never), { bytes: 39, messages: 3 });
    assert.equal(text(path), '1000S,100C\n39 3\n');
  });

  it('is believed when its limits are ours', async (test) => {
    const { folder, path } = makeMaildir(test);
    put(folder, 'new/1.a,S=10');
    writeFileSync(path, '1000S,100C\n500 5\n-100 -1\n');
    const backend = createMaildirSizeBackend({ path, limits, folders: async () => [folder] });
    const { bytes, messages } = await backend.usage(never);
    assert.deepEqual({ bytes, messages }, { bytes: 400, messages: 4 });
  });

  for (const [title, contents] of [
    ['its limits changed', '2000S,100C\n500 5\n'],
    ['it is damaged', '1000S,100C\n500 5\nxx\n'],
    ['its last line is torn', '1000S,100C\n500 5\n-10'],
    ['it went below zero', '1000S,100C\n5 5\n-10 -1\n'],
    ['it has grown too long', `1000S,100C\n${'1 0\n'.repeat(maxFileBytes / 4)}`],
  ] as const) {
    it(`is counted again when ${title}`, async (test) => {
      const { folder, path } = makeMaildir(test);
      put(folder, 'new/1.a,S=10');
      writeFileSync(path, contents);
      const backend = createMaildirSizeBackend({ path, limits, folders: async () => [folder] });
      const { bytes, messages } = await backend.usage(never);
      assert.deepEqual({ bytes, messages }, { bytes: 10, messages: 1 });
      assert.equal(text(path), '1000S,100C\n10 1\n');
    });
  }

  it('is counted again over the limit only when it is older than 15 minutes', async (test) => {
    const { folder, path } = makeMaildir(test);
    const backend = createMaildirSizeBackend({ path, limits, folders: async () => [folder] });
    writeFileSync(path, '1000S,100C\n900 5\n200 1\n');
    assert.equal((await backend.usage(never)).bytes, 1100);
    const old = Date.now() / 1000 - 16 * 60;
    utimesSync(path, old, old);
    assert.equal((await backend.usage(never)).bytes, 0);
    writeFileSync(path, '1000S,100C\n1100 5\n');
    utimesSync(path, old, old);
    assert.equal((await backend.usage(never)).bytes, 1100, 'one line: it was counted, not added up');
  });

  it('takes changes as lines, also many at once', async (test) => {
    const { folder, path } = makeMaildir(test);
    const backend = createMaildirSizeBackend({ path, limits, folders: async () => [folder] });
    await backend.usage(never);
    await Promise.all(Array.from({ length: 20 }, () => backend.add(5, 1)));
    await backend.add(-50, -10);
    assert.equal(text(path).split('\n').length, 1 + 1 + 21 + 1);
    const { bytes, messages } = await backend.usage(never);
    assert.deepEqual({ bytes, messages }, { bytes: 50, messages: 10 });
  });

  it('is not made by a change: whoever asks counts', async (test) => {
    const { folder, path } = makeMaildir(test);
    const backend = createMaildirSizeBackend({ path, limits, folders: async () => [folder] });
    await backend.add(5, 1);
    assert.ok(!existsSync(path));
  });

  it('is counted again when a message arrives during the count', async (test) => {
    const { folder, path } = makeMaildir(test);
    put(folder, 'new/1.a,S=10');
    let calls = 0;
    const backend = createMaildirSizeBackend({
      path,
      limits,
      folders: async () => {
        calls += 1;
        // After its folder was read, before the file is written.
        if (calls === 1) setImmediate(() => put(folder, 'new/2.a,S=20'));
        if (calls === 1) await new Promise((resolve) => setImmediate(resolve));
        return [folder];
      },
    });
    const { bytes } = await backend.usage(never);
    assert.equal(bytes, 30);
    assert.equal(text(path), '1000S,100C\n30 2\n');
  });

  it('is not left behind when the mailbox never holds still', async (test) => {
    const { folder, path } = makeMaildir(test);
    const counted = await countMaildirs([folder], never);
    assert.equal(await counted.hasChanged(), false);
    put(folder, 'new/1.a,S=10');
    utimesSync(join(folder, 'new'), 1, 1);
    assert.equal(await counted.hasChanged(), true);
    const backend = createMaildirSizeBackend({
      path,
      limits,
      // So many that the count takes longer than a turn of the loop.
      folders: async () => [folder, ...Array.from({ length: 300 }, (_, index) => join(folder, `missing${index}`))],
    });
    let mtime = 1000;
    const timer = setInterval(() => {
      mtime += 1;
      utimesSync(join(folder, 'new'), mtime, mtime);
    }, 0);
    try {
      assert.equal((await backend.usage(never)).bytes, 10);
    } finally {
      clearInterval(timer);
    }
    assert.ok(!existsSync(path));
  });

  for (const [name, size] of [
    ['1.a,S=10,W=12:2,S', 12],
    ['1.a,W=12', 12],
    ['1.a,S=10:2,', 10],
    ['1.a', undefined],
    ['1.a,S=x', undefined],
    ['1.a,S=10x', undefined],
    ['1,SS=4.b', undefined],
  ] as const) {
    it(`reads ${size} from the name ${name}`, () => assert.equal(sizeInName(name), size));
  }

  it('keeps its age through a failed change', async (test) => {
    const { folder, path } = makeMaildir(test);
    const backend = createMaildirSizeBackend({ path, limits, folders: async () => [folder] });
    await backend.usage(never);
    const { ino } = statSync(path);
    await backend.add(1, 1);
    assert.equal(statSync(path).ino, ino, 'appended, not replaced');
    unlinkSync(path);
  });
});
