// SEARCH of a header field in many messages at once finds what a look at each of them finds.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { storages } from '../../support/imap-storages.js';
import { createImapWorld } from '../../support/imap-world.js';
import type { LineClient } from '../../support/line-client.js';

const value = fc.constantFrom(
  'plain number 7',
  'Number 77',
  ' number 77 ',
  '\tNUMBER 7 7',
  'number  77',
  'number\t77',
  'num\r\n ber 77',
  'number\r\n\t77',
  '=?utf-8?q?number_77?=',
  '=?utf-8?b?bnVtYmVyIDc3?= more',
  'stra\xdfe number 77',
  '\xb5 number 7',
  '\xff',
  'straße number 77',
  '',
  ' ',
  'x'.repeat(2000),
);
const name = fc.constantFrom('Subject', 'subject', 'SUBJECT', 'Subject ', 'Subject\t', 'Subject-X', 'X-Subject', 'Comments');
const field = fc.tuple(name, value).map(([label, text]) => `${label}:${text}\r\n`);
const usual = fc.nat(99).map((number) => `Subject: Message number ${number}\r\nFrom: a${number}@example.test\r\n`);
const header = fc.oneof(
  { weight: 4, arbitrary: usual },
  fc.array(field, { maxLength: 4 }).map((fields) => fields.join('')),
);
const ending = fc.constantFrom('\r\n', '\r\nbody', '\r\nSubject: number 77\r\n', '');
const message = fc.tuple(header, ending).map(([fields, rest]) => (fields + rest === '' ? '\r\n' : fields + rest));

const searches = [
  'SUBJECT "number 77"',
  'SUBJECT "number 7"',
  'SUBJECT " number"',
  'SUBJECT "7 "',
  'SUBJECT "7 7"',
  'SUBJECT "message"',
  'SUBJECT ""',
  'SUBJECT "nowhere to be found"',
  'NOT SUBJECT "number 7"',
  'OR SUBJECT "number 7" FROM "a8"',
  'UNSEEN SUBJECT "number"',
  'SUBJECT "number" FROM "example"',
  'HEADER Subject-X "number"',
  'HEADER Comments ""',
  'CHARSET UTF-8 SUBJECT {7+}\r\nstra\xc3\x9fe',
  'CHARSET UTF-8 SUBJECT {6+}\r\nSTRASS',
  'CHARSET UTF-8 SUBJECT {2+}\r\n\xc2\xb5',
];

async function put(client: LineClient, messages: readonly string[]): Promise<void> {
  for (const [index, octets] of messages.entries())
    await client.ok(`APPEND INBOX (${index % 3 === 0 ? '\\Seen' : ''}) {${octets.length}+}\r\n${octets}`);
}

async function found(client: LineClient): Promise<string[]> {
  const results: string[] = [];
  for (const search of searches) results.push(`${search}: ${(await client.ok(`SEARCH ${search}`)).join(' ')}`);
  return results;
}

describe('SEARCH of a header field in many messages', () => {
  it('finds the same over files with a cache as in memory', async (test) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(message, { minLength: 70, maxLength: 90 }),
        fc.array(message, { maxLength: 20 }),
        fc.array(fc.nat(69), { maxLength: 5 }),
        fc.constantFrom('FETCH 1:* ENVELOPE', 'FETCH 1:40 ENVELOPE', 'FETCH 30:69 ENVELOPE', 'NOOP'),
        async (messages, later, gone, first) => {
          const results: string[][] = [];
          for (const kind of ['memory', 'maildir']) {
            const openUser = storages[kind]?.(test as TestContext, { extra: 'mail_fsync = never\n' });
            assert.ok(openUser !== undefined);
            await using world = await createImapWorld({ openUser });
            const { client } = await world.connect();
            await put(client, messages);
            await client.ok('SELECT INBOX');
            await client.ok(first);
            const own = [...(await found(client)), ...(await found(client))];
            await put(client, later);
            for (const at of gone) await client.ok(`STORE ${at + 1} +FLAGS.SILENT (\\Deleted)`);
            await client.ok('EXPUNGE');
            own.push(...(await found(client)));
            await client.ok('SELECT INBOX');
            own.push(...(await found(client)));
            results.push(own);
          }
          assert.deepEqual(results[1], results[0]);
        },
      ),
      { numRuns: 4 },
    );
  });
});
