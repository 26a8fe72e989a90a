import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { createDiskNames } from '#storage/list/disk-name.js';
import { changeSubscription, createSubscriptionsFile, formatSubscriptions, parseSubscriptions } from '#storage/list/subscriptions.js';

const never = new AbortController().signal;

async function makeFolder(test: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'roost-subscriptions-'));
  test.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const namesIn = (text: string, separator: string): (readonly string[] | undefined)[] =>
  parseSubscriptions(text, separator).map(({ levels }) => levels);

describe('subscriptions file', () => {
  it('is read in version 2', () => {
    assert.deepEqual(namesIn('V\t2\n\nINBOX\nwork\tEntw&APw-rfe\n', '.'), [['INBOX'], ['work', 'Entwürfe']]);
  });

  it('is read in version 1, with the separator of the layout', () => {
    assert.deepEqual(namesIn('INBOX\nwork.plans\r\nno-end', '.'), [['INBOX'], ['work', 'plans'], ['no-end']]);
    assert.deepEqual(namesIn('work/plans.txt\n', '/'), [['work', 'plans.txt']]);
  });

  it('keeps lines that are no names', () => {
    const lines = parseSubscriptions('V\t2\n\nb&d\ngood\n', '.');
    const changed = changeSubscription(lines, ['new'], true);
    assert.equal(changed === undefined ? '' : formatSubscriptions(changed), 'V\t2\n\nb&d\ngood\nnew\n');
  });

  it('is not changed when there is nothing to change', () => {
    const lines = parseSubscriptions('V\t2\n\na\n', '.');
    assert.equal(changeSubscription(lines, ['a'], true), undefined);
    assert.equal(changeSubscription(lines, ['b'], false), undefined);
  });

  it('is written as version 2, whatever was there', async (test) => {
    const folder = await makeFolder(test);
    await writeFile(join(folder, 'subscriptions'), 'a.b\n');
    const store = createSubscriptionsFile(folder, 'subscriptions', '.');
    await store.set(['c', 'dé'], true, never);
    assert.equal(await readFile(join(folder, 'subscriptions'), 'utf8'), 'V\t2\n\na\tb\nc\td&AOk-\n');
    await store.set(['a', 'b'], false, never);
    assert.deepEqual(await store.read(never), [['c', 'dé']]);
  });

  it('has names in UTF-8 where the location says so, as its folders', async (test) => {
    const folder = await makeFolder(test);
    await writeFile(join(folder, 'subscriptions'), 'V\t2\n\nEntwürfe\tx\nR&-D\n');
    const store = createSubscriptionsFile(folder, 'subscriptions', '.', { names: createDiskNames(true) });
    assert.deepEqual(await store.read(never), [['Entwürfe', 'x'], ['R&-D']]);
    await store.set(['c', 'dé'], true, never);
    await store.set(['Entwürfe', 'x'], false, never);
    assert.equal(await readFile(join(folder, 'subscriptions'), 'utf8'), 'V\t2\n\nR&-D\nc\tdé\n');
  });

  it('sees what another program writes', async (test) => {
    const folder = await makeFolder(test);
    const store = createSubscriptionsFile(folder, 'subscriptions', '.');
    assert.deepEqual(await store.read(never), []);
    await writeFile(join(folder, 'subscriptions'), 'V\t2\n\na\n');
    const first = await store.read(never);
    assert.deepEqual(first, [['a']]);
    assert.equal(await store.read(never), first, 'the same object while the file is the same');
    await rm(join(folder, 'subscriptions'));
    assert.deepEqual(await store.read(never), []);
  });

  it('loses no change of many at once', async (test) => {
    const folder = await makeFolder(test);
    const stores = [0, 1].map(() => createSubscriptionsFile(folder, 'subscriptions', '.'));
    await Promise.all(stores.flatMap((store, which) => [1, 2, 3, 4].map((n) => store.set([`s${which}-${n}`], true, never))));
    assert.equal((await stores[0]?.read(never))?.length, 8);
  });

  it('waits in a folder that has to be made first', async (test) => {
    const folder = await makeFolder(test);
    const store = createSubscriptionsFile(join(folder, 'control', 'deep'), 'subscriptions', '.');
    await store.set(['a'], true, never);
    assert.deepEqual(await store.read(never), [['a']]);
  });

  it('gives back all names', () => {
    const level = fc.string({ unit: 'binary', minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(fc.array(fc.array(level, { minLength: 1, maxLength: 3 }), { maxLength: 5 }), (names) => {
        let lines = parseSubscriptions('', '.');
        for (const levels of names) lines = changeSubscription(lines, levels, true) ?? lines;
        const read = namesIn(formatSubscriptions(lines), '.').map((levels) => levels?.join('\0'));
        assert.deepEqual(read, [...new Set(names.map((levels) => levels.join('\0')))]);
      }),
    );
  });
});
