// What was saved is what is read: byte for byte, whichever way a message comes in and wherever it is kept.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type OpenUser, storages } from '../../support/imap-storages.js';
import { createImapWorld } from '../../support/imap-world.js';
import type { LineClient } from '../../support/line-client.js';

const never = new AbortController().signal;

/** Octets that have been mistaken for something else by mail servers. */
const oddPiece = fc.constantFrom(
  '\n',
  '\r',
  '\r\n',
  '\r\r\n',
  '\n\r',
  '.',
  '\r\n.\r\n',
  '\0',
  '\xff',
  '\xe4\xf6',
  'From x\n',
  '{5}',
  '{5+}\r\n',
  '"\\',
  '\x1a',
  ' ',
  '\t',
  'a',
  'Subject: \xfc\r\n',
  '\r\n\r\n',
);
const octets = fc
  .tuple(fc.constantFrom('', 'Subject: x\r\n\r\n', 'Subject: x\n\n', 'X: \0\r\n\r\n'), fc.array(oddPiece, { minLength: 1, maxLength: 60 }))
  .map(([head, pieces]) => head + pieces.join(''));

/** The literal behind `label` in a reply of one line. */
function literalAfter(lines: readonly string[], label: string): string {
  const text = lines.join('\r\n');
  const match = new RegExp(`${label.replace(/[[\]]/g, '\\$&')} ~?\\{(\\d+)\\}\\r\\n`).exec(text);
  assert.ok(match !== null, `${label} in ${JSON.stringify(text)}`);
  const start = match.index + match[0].length;
  return text.slice(start, start + Number(match[1]));
}

async function check(client: LineClient, mailbox: string, message: string): Promise<void> {
  await client.ok(`SELECT ${mailbox}`);
  const body = await client.ok('FETCH * (RFC822.SIZE BODY.PEEK[])');
  assert.equal(literalAfter(body, 'BODY[]'), message, 'BODY[]');
  assert.match(body.join(' '), new RegExp(`RFC822\\.SIZE ${message.length}\\b`));
  assert.equal(literalAfter(await client.ok('FETCH * BINARY.PEEK[]'), 'BINARY[]'), message, 'BINARY[]');
  const header = literalAfter(await client.ok('FETCH * BODY.PEEK[HEADER]'), 'BODY[HEADER]');
  const text = literalAfter(await client.ok('FETCH * BODY.PEEK[TEXT]'), 'BODY[TEXT]');
  assert.equal(header + text, message, 'header and text together');
  const cut = Math.floor(message.length / 2);
  const first = literalAfter(await client.ok(`FETCH * BODY.PEEK[]<0.${cut + 1}>`), 'BODY[]<0>');
  assert.equal(first, message.slice(0, cut + 1), 'first part');
}

async function withClient(openUser: OpenUser, work: (client: LineClient) => Promise<void>): Promise<void> {
  await using world = await createImapWorld({ openUser });
  const { client } = await world.connect();
  await work(client);
}

const literal8 = (message: string): string => `~{${message.length}+}\r\n${message}`;

for (const [kind, makeOpen] of Object.entries(storages)) {
  if (kind.includes('apart')) continue;
  describe(`octets of messages over ${kind}`, () => {
    it('come back as APPEND, CATENATE, COPY and REPLACE took them', async (test) => {
      const openUser = makeOpen(test as Parameters<typeof makeOpen>[0]);
      await withClient(openUser, async (client) => {
        await client.ok('CREATE Copies');
        await fc.assert(
          fc.asyncProperty(octets, async (message) => {
            await client.ok(`APPEND INBOX ${literal8(message)}`);
            await check(client, 'INBOX', message);
            await client.ok('COPY * Copies');
            await check(client, 'Copies', message);
            await client.ok('SELECT INBOX');
            const uid = /UID (\d+)/.exec((await client.ok('FETCH * (UID)')).join())?.[1];
            const cut = Math.floor(message.length / 2);
            const parts = [message.slice(0, cut), message.slice(cut)].filter((part) => part !== '').map((part) => `TEXT ${literal8(part)}`);
            await client.ok(`APPEND INBOX CATENATE (${parts.join(' ')})`);
            await check(client, 'INBOX', message);
            await client.ok(`APPEND INBOX CATENATE (URL "/INBOX/;UID=${uid}" TEXT ${literal8(message)})`);
            await check(client, 'INBOX', message + message);
            await client.ok(`REPLACE * INBOX ${literal8(message)}`);
            await check(client, 'INBOX', message);
          }),
          { numRuns: 15 },
        );
      });
    });

    it('come back as a delivery brought them', async (test) => {
      const openUser = makeOpen(test as Parameters<typeof makeOpen>[0]);
      await withClient(openUser, async (client) => {
        await using user = await openUser();
        const inbox = await user.openMailbox('INBOX', never);
        await fc.assert(
          fc.asyncProperty(octets, async (message) => {
            await using transaction = inbox.beginAppend('deliver');
            const writer = await transaction.add(
              { flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: undefined },
              never,
            );
            for (const octet of Buffer.from(message, 'latin1')) await writer.write(Buffer.of(octet));
            await writer.end();
            await transaction.commit(never);
            await check(client, 'INBOX', message);
          }),
          { numRuns: 15 },
        );
      });
    });
  });
}
