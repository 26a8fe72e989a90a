import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, renameSync, rmSync, statfsSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FolderSignSource, type FolderSigns, readEvents } from '#util/folder-signs.js';

/** Where the tests' folders are on a file system that others may change, nothing is watched. */
const isWatchable = [0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994].includes(statfsSync(tmpdir()).type);

describe('Signs of changes in folders', { skip: !isWatchable }, () => {
  let root: string;
  let source: FolderSignSource;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'roost-signs-'));
    for (const name of ['a', 'b']) mkdirSync(join(root, name));
    writeFileSync(join(root, 'a', 'file'), 'x');
    source = new FolderSignSource();
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const watch = (...names: string[]): FolderSigns => {
    const signs = source.watch(names.map((name) => join(root, name)));
    assert.ok(signs !== undefined);
    return signs;
  };

  const changes: Readonly<Record<string, () => void>> = {
    'a new file': () => writeFileSync(join(root, 'a', 'new'), ''),
    'a file that is renamed away': () => renameSync(join(root, 'a', 'file'), join(root, 'b', 'file')),
    'a file that is renamed': () => renameSync(join(root, 'a', 'file'), join(root, 'a', 'other')),
    'a file that is removed': () => unlinkSync(join(root, 'a', 'file')),
    'octets appended to a file': () => appendFileSync(join(root, 'a', 'file'), 'more'),
    'times that are set': () => utimesSync(join(root, 'a'), 1, 1),
    'the folder renamed': () => renameSync(join(root, 'a'), join(root, 'c')),
    'the folder removed': () => rmSync(join(root, 'a'), { recursive: true }),
  };
  for (const [name, change] of Object.entries(changes)) {
    it(`are there at once after ${name}, until they were looked at`, () => {
      const signs = watch('a');
      assert.equal(signs.hasChanged(), false);
      change();
      assert.equal(signs.hasChanged(), true);
      assert.equal(signs.reset(), true);
      if (name !== 'the folder removed') assert.equal(signs.hasChanged(), false);
      signs.close();
    });
  }

  it('stay when the folder is gone: nobody can tell any more', () => {
    const signs = watch('a', 'b');
    rmSync(join(root, 'a'), { recursive: true });
    assert.equal(signs.reset(), true);
    assert.equal(signs.hasChanged(), true);
    signs.close();
  });

  it('are of the folders asked for, for everybody who asked', () => {
    const [first, second, other] = [watch('a'), watch('a', 'b'), watch('b')];
    writeFileSync(join(root, 'a', 'new'), '');
    assert.deepEqual(
      [first, second, other].map((signs) => signs.hasChanged()),
      [true, true, false],
    );
    first.close();
    second.reset();
    writeFileSync(join(root, 'a', 'newer'), '');
    assert.equal(second.hasChanged(), true);
    second.close();
    other.close();
  });

  it('come of more changes than are read at once', () => {
    const signs = watch('a');
    for (let index = 0; index < 2_000; index += 1)
      renameSync(join(root, 'a', index === 0 ? 'file' : `f${index - 1}`), join(root, 'a', `f${index}`));
    assert.equal(signs.reset(), true);
    assert.equal(signs.hasChanged(), false);
    signs.close();
  });

  it('need nothing any more when all are closed, and can be had again', () => {
    const signs = watch('a');
    signs.close();
    signs.close();
    const again = watch('a');
    writeFileSync(join(root, 'a', 'new'), '');
    assert.equal(again.hasChanged(), true);
    again.close();
  });

  it('are not to be had of a folder that is not there, nor of a file', () => {
    assert.equal(source.watch([join(root, 'a'), join(root, 'nowhere')]), undefined);
    assert.equal(source.watch([join(root, 'a', 'file')]), undefined);
    const signs = watch('a');
    signs.close();
  });

  it('are not to be had of more folders than a process may watch', () => {
    const names = Array.from({ length: 600 }, (_, index) => `n${index}`);
    for (const name of names) mkdirSync(join(root, name));
    assert.equal(source.watch(names.map((name) => join(root, name))), undefined);
  });
});

describe('Events of inotify', () => {
  const event = (watch: number, mask: number, name = ''): Buffer => {
    const padded = name === '' ? 0 : Math.ceil((name.length + 1) / 16) * 16;
    const octets = Buffer.alloc(16 + padded);
    octets.writeInt32LE(watch, 0);
    octets.writeUInt32LE(mask, 4);
    octets.writeUInt32LE(padded, 12);
    octets.write(name, 16, 'latin1');
    return octets;
  };

  it('are read with and without names', () => {
    const found: [number, number][] = [];
    readEvents(
      Buffer.concat([event(1, 2, 'roost.index.log'), event(-1, 0x4000), event(7, 0x100, 'a'.repeat(200)), event(1, 0x8000)]),
      (watch, mask) => found.push([watch, mask]),
    );
    assert.deepEqual(found, [
      [1, 2],
      [-1, 0x4000],
      [7, 0x100],
      [1, 0x8000],
    ]);
  });
});
