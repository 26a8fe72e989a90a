// Searches of header fields in mailboxes large enough to be looked at in blocks: the same answers as message by message, whatever is known before.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { selectFields } from '#mail/header.js';
import { searchKey } from '#mail/text.js';
import { headerKey } from '#storage/search-text.js';
import { never } from '../contract/world.js';
import { MaildirWorld } from './maildir/world.js';

const count = 80;

async function search(world: MaildirWorld, field: string, text: string): Promise<number[]> {
  const mailbox = await world.open('A');
  await using view = await mailbox.openView({ readOnly: false }, never);
  return view.search({ kind: 'header', field, text }, never);
}

function nameOf(index: number, size: number): string {
  // By time, which is the order in which UIDs are given.
  return `cur/${1_700_000_000 + index}.M${index}P1.test,S=${size},W=${size}:2,`;
}

async function worldOf(messages: readonly string[]): Promise<MaildirWorld> {
  const world = await MaildirWorld.make();
  await world.foreign('A', Object.fromEntries(messages.map((text, index) => [nameOf(index, Buffer.byteLength(text)), text])));
  return world;
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

const subjects = Array.from(
  { length: count },
  (_, index) => `Subject: Number ${index} of many\r\nFrom: a${index}@example.org\r\n\r\ntext\r\n`,
);

describe('A header that was searched', () => {
  it('is known to processes that start later, without the messages and without the cache', async () => {
    await using world = await worldOf(subjects);
    assert.deepEqual(await search(world, 'subject', 'number 7 of'), [8]);
    // Fills the blocks from the cache.
    await world.restart();
    assert.deepEqual(await search(world, 'subject', 'number 8 of'), [9]);
    await world.restart();
    const { mailDir } = world.paths('A');
    rmSync(join(mailDir, 'roost.cache'));
    for (const name of readdirSync(join(mailDir, 'cur'))) {
      const path = join(mailDir, 'cur', name);
      writeFileSync(path, 'x'.repeat(statSync(path).size));
    }
    assert.deepEqual(await search(world, 'subject', 'NUMBER 9 OF'), [10]);
  });

  it('is searched in messages that came later', async () => {
    await using world = await worldOf(subjects);
    for (let round = 0; round < 2; round += 1) {
      assert.deepEqual(await search(world, 'subject', 'number 7 of'), [8]);
      await world.restart();
    }
    const late = 'Subject: Number 7 of those that came late\r\n\r\n';
    await world.foreign('A', { [nameOf(count, late.length)]: late });
    assert.deepEqual(await search(world, 'subject', 'number 7 of'), [8, count + 1]);
  });

  it('is found in messages of every kind that nothing is known of, and each file is read once', async () => {
    const long = `X-Long: ${'a '.repeat(20_000)}\r\nSubject: Number 7 of the long ones\r\n\r\n`;
    const lineFeeds = 'From: a@b\nSubject: Number 7 of\n line feeds\n\nSubject: number 7 of body\n';
    const large = `Subject: Number 7 of the large ones\r\n\r\n${'text\r\n'.repeat(20_000)}`;
    const noBody = 'Subject: Number 7 of those without an end';
    await using world = await worldOf([...subjects, long, lineFeeds, large, noBody, '']);
    const { mailDir } = world.paths('A');
    // Its name tells a wrong size.
    const wrong = 'Subject: Number 7 of the wrong ones\r\n\r\n';
    await world.foreign('A', { [nameOf(count + 5, wrong.length + 9)]: wrong });
    // Its name tells no size.
    await world.foreign('A', { [`cur/${1_700_000_000 + count + 6}.M1P1.test:2,S`]: lineFeeds });
    const expected = [8, ...[1, 2, 3, 4, 6, 7].map((index) => count + index)];
    assert.deepEqual(await search(world, 'subject', 'number 7 of'), expected);
    for (const text of ['number 7 of line feeds', 'number 8 of']) {
      for (const name of readdirSync(join(mailDir, 'cur'))) {
        const path = join(mailDir, 'cur', name);
        if (text === 'number 8 of') writeFileSync(path, 'x'.repeat(statSync(path).size));
      }
      assert.deepEqual(await search(world, 'subject', text), text === 'number 8 of' ? [9] : [count + 2, count + 7]);
      await world.restart();
    }
    assert.deepEqual(await search(world, 'from', 'a7@'), [8]);
  });

  it('is found when others have renamed and removed files', async () => {
    await using world = await worldOf(subjects);
    const mailbox = await world.open('A');
    await using view = await mailbox.openView({ readOnly: false }, never);
    const cur = join(world.paths('A').mailDir, 'cur');
    const names = readdirSync(cur).sort();
    renameSync(join(cur, names[7] as string), join(cur, `${names[7]}S`));
    rmSync(join(cur, names[70] as string));
    assert.deepEqual(await view.search({ kind: 'header', field: 'subject', text: 'number 7' }, never), [
      8,
      ...range(71, 80).filter((seq) => seq !== 71),
    ]);
  });

  it('goes with its mailbox', async () => {
    await using world = await worldOf(subjects);
    for (let round = 0; round < 2; round += 1) {
      await search(world, 'subject', 'number 7 of');
      await world.restart();
    }
    const { mailDir } = world.paths('A');
    assert.ok(readdirSync(mailDir).includes('roost.keys'));
    await world.delete('A');
    assert.equal(existsSync(join(mailDir, 'roost.keys')), false);
  });
});

/** Values of a field as they come: folded, encoded, twice, not at all. */
const value = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: fc.constantFrom(...'abcABC Re:[]"=?_-.'), maxLength: 20 }) },
  fc.constantFrom(
    '=?utf-8?q?Gr=C3=BC=C3=9Fe_aus?= Bern',
    '=?iso-8859-1?b?R3L832U=?=',
    'two  blanks',
    'in\r\n two lines',
    '\r\n abc',
    'abc \t ',
    'GRÜSSE',
    'straße',
    '=?broken',
    '',
  ),
);
const header = fc
  .record({ subject: fc.array(value, { minLength: 0, maxLength: 2 }), lineEnd: fc.constantFrom('\r\n', '\n') })
  .map(({ subject, lineEnd }) => {
    const fields = [
      ...subject.map((text, index) => `${index === 0 ? 'Subject' : 'sUBJECT '}: ${text}`),
      'Subject-Not: abc',
      'From: abc <a@b>',
    ];
    return `${fields.join('\r\n')}\r\n\r\nSubject: body\r\n`.replaceAll('\r\n', lineEnd);
  });
const needle = fc.constantFrom(
  'a',
  'abc',
  'b',
  'grüße',
  'GRÜSSE',
  'strasse',
  'in two',
  'two blanks',
  'Re:',
  '=?',
  ' ',
  '',
  'bern',
  '\n',
  'body',
);

describe('Any header field', () => {
  it('is found as message by message: before anything is known, from the cache, and from the keys', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(header, { minLength: count, maxLength: count }),
        fc.array(needle, { minLength: 3, maxLength: 3 }),
        async (messages, texts) => {
          await using world = await worldOf(messages);
          const expected = (text: string): number[] =>
            messages.flatMap((message, index) => {
              const key = headerKey(selectFields(Buffer.from(message.replaceAll(/\r?\n/g, '\r\n')), ['subject']));
              return key?.includes(searchKey(text)) === true ? [index + 1] : [];
            });
          for (const text of texts) {
            assert.deepEqual(await search(world, 'Subject', text), expected(text), JSON.stringify(text));
            assert.deepEqual(await search(world, 'Subject', 'abc'), expected('abc'));
            await world.restart();
          }
        },
      ),
      { numRuns: 12 },
    );
  });
});
