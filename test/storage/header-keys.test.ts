import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HeaderKeys } from '#storage/header-keys.js';
import { evaluateSearch } from '#storage/search-run.js';
import type { SearchSource } from '#storage/search-source.js';
import { append, never, openView } from '../contract/world.js';
import { MaildirWorld } from './maildir/world.js';

const entry = 64;

describe('Header fields kept between searches', () => {
  it('are those of one field and one UIDVALIDITY', () => {
    const keys = new HeaderKeys();
    keys.of('subject', 1).set(7, 'A');
    keys.of('subject', 1).set(8, null);
    assert.equal(keys.of('subject', 1).get(7), 'A');
    assert.equal(keys.of('subject', 1).get(8), null);
    assert.equal(keys.of('subject', 1).get(9), undefined);
    assert.equal(keys.of('from', 1).get(7), undefined);
    assert.equal(keys.of('subject', 2).get(7), undefined);
    assert.equal(keys.of('subject', 1).get(7), undefined);
  });

  it('make room for the field that is searched now, and stop growing when it fills all', () => {
    const keys = new HeaderKeys(3 * (entry + 2));
    keys.of('from', 1).set(1, 'a');
    keys.of('to', 1).set(1, 'b');
    keys.of('from', 1).set(2, 'c');
    const subject = keys.of('subject', 1);
    subject.set(1, 'd');
    assert.equal(keys.of('to', 1).get(1), undefined, 'searched longest ago');
    assert.equal(keys.of('from', 1).get(1), 'a');
    for (const uid of [2, 3, 4]) keys.of('subject', 1).set(uid, 'e');
    assert.equal(keys.of('from', 1).get(1), undefined);
    assert.deepEqual(
      [1, 2, 3, 4].map((uid) => keys.of('subject', 1).get(uid)),
      ['d', 'e', 'e', undefined],
    );
  });

  it('are of a bounded number of fields', () => {
    const keys = new HeaderKeys();
    keys.of('first', 1).set(1, 'a');
    for (let index = 0; index < 31; index += 1) keys.of(`x-${index}`, 1);
    assert.equal(keys.of('first', 1).get(1), 'a');
    for (let index = 0; index < 32; index += 1) keys.of(`y-${index}`, 1);
    assert.equal(keys.of('first', 1).get(1), undefined);
  });

  it('answer a second search without reading anything, new messages apart', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    for (const subject of ['=?utf-8?q?Gr=C3=BC=C3=9Fe?=', 'two\r\nSubject: again', 'GRÜSSE'])
      await append(mailbox, `Subject: ${subject}\r\n\r\n`);
    await append(mailbox, 'From: nobody\r\n\r\n');
    await using view = await openView(mailbox);
    let prepared = 0;
    const source = new Proxy(view, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        return (...given: readonly unknown[]): unknown => {
          if (key === 'prepare') prepared += (given[0] as number[]).length;
          return value.apply(target, given);
        };
      },
    }) as unknown as SearchSource;
    const search = (text: string): Promise<number[]> => evaluateSearch({ kind: 'header', field: 'Subject', text }, source, never);
    for (let round = 0; round < 2; round += 1) {
      assert.deepEqual(await search('grüß'), [1]);
      assert.deepEqual(await search('again'), [2]);
      assert.deepEqual(await search('two again'), []);
      assert.deepEqual(await search(''), [1, 2, 3]);
      assert.deepEqual(await evaluateSearch({ kind: 'not', query: { kind: 'header', field: 'subject', text: '' } }, source, never), [4]);
    }
    assert.equal(prepared, 4);
    await append(mailbox, 'Subject: two\r\n\r\n');
    await view.sync({ allowExpunge: true }, never);
    assert.deepEqual(await search('two'), [2, 5]);
    assert.equal(prepared, 5);
  });
});
