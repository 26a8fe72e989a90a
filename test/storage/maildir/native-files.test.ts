import assert from 'node:assert/strict';
import { constants, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { NativeFiles } from '#storage/maildir/native-files.js';
import { QuickReads } from '#storage/maildir/quick-read.js';
import { SlowWatch } from '#util/slow-watch.js';

const files = NativeFiles.load();

describe('reading files through the C library', { skip: files === undefined && 'only on Linux with koffi' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'roost-native-é-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const name = '1700000000.M1P1.host,S=5:2,S';
  writeFileSync(join(folder, name), 'hello');

  function point(at: string, octets: Buffer): NativeFiles {
    if (files === undefined) throw new Error('not loaded');
    const start = files.beginPath(at, octets.length);
    assert.equal(start, Buffer.byteLength(at) + 1);
    octets.copy(files.path, start);
    files.path[start + octets.length] = 0;
    return files;
  }

  test('gives octets and times as node:fs does', () => {
    utimesSync(join(folder, name), 1_234_567_890, 1_600_000_000.25);
    const into = Buffer.alloc(16);
    const times = { mtimeMs: 0, ctimeMs: 0 };
    assert.equal(point(folder, Buffer.from(name)).read(constants.O_RDONLY, into, 6, times), 5);
    assert.equal(into.toString('latin1', 0, 5), 'hello');
    const stat = statSync(join(folder, name));
    assert.equal(Math.floor(times.mtimeMs), Math.floor(stat.mtimeMs));
    assert.equal(Math.floor(times.ctimeMs), Math.floor(stat.ctimeMs));
  });

  test('knows times before 1970 and after 2038', () => {
    const times = { mtimeMs: 0, ctimeMs: 0 };
    for (const seconds of [-86_400, 5_000_000_000]) {
      utimesSync(join(folder, name), new Date(seconds * 1000), new Date(seconds * 1000));
      assert.equal(point(folder, Buffer.from(name)).read(constants.O_RDONLY, Buffer.alloc(6), 6, times), 5);
      assert.equal(times.mtimeMs, seconds * 1000);
    }
  });

  test('takes names of any octets, and another folder after the first', () => {
    const odd = Buffer.from([0x61, 0xff, 0xe9, 0x3a, 0x32, 0x2c]);
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/`), odd]), 'odd');
    const into = Buffer.alloc(8);
    assert.equal(point(folder, odd).read(constants.O_RDONLY, into, 8), 3);
    assert.equal(into.toString('latin1', 0, 3), 'odd');
    assert.equal(point(join(folder, 'none'), odd).read(constants.O_RDONLY, into, 8), -1);
    assert.equal(point(folder, Buffer.from(name)).read(constants.O_RDONLY, into, 8), 5);
  });

  test('refuses a path that does not fit', () => {
    assert.equal(files?.beginPath(`/${'é'.repeat(3000)}`, 1), 0);
    assert.equal(files?.beginPath(`/${'a'.repeat(4000)}`, 93), 4002);
    assert.equal(files?.beginPath(`/${'a'.repeat(4000)}`, 94), 0, 'no room for the zero octet');
    assert.equal(files?.beginPath('/', 1), 2, 'a short one after that');
  });

  test('leaves access times alone, and a file of another size to others', () => {
    const reads = new QuickReads(new SlowWatch(() => 0));
    utimesSync(join(folder, name), 1_000_000_000, 1_600_000_000);
    const native = point(folder, Buffer.from(name));
    assert.equal(reads.peekNative(native, 5)?.toString(), 'hello');
    assert.equal(reads.peekNative(native, 4), undefined);
    assert.equal(reads.peekNative(native, 6), undefined);
    assert.equal(reads.read(join(folder, name), 5)?.toString(), 'hello');
    assert.equal(statSync(join(folder, name)).atimeMs, 1_000_000_000_000);
  });

  test('is used after some reads', () => {
    const reads = new QuickReads(new SlowWatch(() => 0));
    let found = reads.native;
    for (let count = 0; count < 60; count += 1) found = reads.native;
    assert.ok(found instanceof NativeFiles);
  });
});
