import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Logger } from '#log/logger.js';
import { allCommands } from '#services/imap/command-table.js';
import { createImapWorld } from '../../support/imap-world.js';

const names = allCommands()
  .map(({ name }) => name)
  .filter((name) => !['LOGOUT', 'IDLE', 'COMPRESS'].includes(name));
const words = [
  ...[
    '1',
    '1:*',
    '*',
    '2,1:3',
    '999',
    '$',
    '0',
    'INBOX',
    '""',
    '"x y"',
    '{3+}\r\nabc',
    '~{2+}\r\n\0\xff',
    '{0+}\r\n',
    'NIL',
    '%',
    '*',
    '"a/b"',
  ],
  ...[
    '(',
    ')',
    '()',
    '(\\Seen kw)',
    '(UID FLAGS)',
    'BODY[]',
    'BODY.PEEK[1.HEADER.FIELDS (a b)]<0.5>',
    'BINARY[1]',
    '(FLAGS BODYSTRUCTURE ENVELOPE)',
  ],
  ...[
    'RETURN',
    '(MIN MAX COUNT ALL SAVE)',
    'ALL',
    'NOT',
    'OR',
    'SEEN',
    'SUBJECT',
    'SINCE',
    '1-Jan-2020',
    'CHARSET',
    'UTF-8',
    'MODSEQ',
    'KEYWORD',
  ],
  ...[
    '+FLAGS',
    '-FLAGS.SILENT',
    'FLAGS',
    '(UNCHANGEDSINCE 5)',
    '(CHANGEDSINCE 1)',
    '(CONDSTORE)',
    '(QRESYNC (1 1))',
    '(MESSAGES SIZE UNSEEN)',
  ],
  ...[
    'CONDSTORE',
    'QRESYNC',
    'UTF8=ACCEPT',
    '"01-Jan-2020 00:00:00 +0000"',
    'UTF8',
    '(~{1+}\r\nx)',
    '&AOQ-',
    '&bad',
    '\xe4\xf6',
    '\\',
    '"',
    '{5',
    '<0.1>',
    '[',
    ']',
  ],
];

const command = fc
  .tuple(fc.boolean(), fc.constantFrom(...names), fc.array(fc.constantFrom(...words), { maxLength: 6 }))
  .map(([isUid, name, rest]) => `${isUid ? 'UID ' : ''}${[name, ...rest].join(' ')}`);

describe('a session fed with random commands', () => {
  it('answers each one, or says BYE, and never fails inside', async () => {
    const failures: string[] = [];
    const fail = (_event: string, text: string): void => void failures.push(text);
    const quiet = (): void => undefined;
    const log: Logger = { error: fail, warning: fail, info: quiet, debug: quiet, child: () => log, isDebug: false };
    await fc.assert(
      fc.asyncProperty(fc.array(command, { maxLength: 15 }), async (commands) => {
        await using world = await createImapWorld({ log });
        const { client } = await world.connect();
        await client.ok('APPEND INBOX {20+}\r\nSubject: a\r\n\r\nbody\r\n');
        await client.ok('SELECT INBOX');
        for (const text of commands) {
          const tag = client.send(text);
          // A literal that the client did not mean swallows the next line: NOOPs get the decoder out of it.
          const end = client.send('NOOP');
          let line = await client.line();
          let isAnswered = false;
          while (line !== undefined && !line.startsWith(`${end} `)) {
            if (line.startsWith(`${tag} `)) isAnswered = true;
            if (line.startsWith('* BYE')) return;
            line = await client.line();
          }
          assert.ok(isAnswered, `no reply to ${JSON.stringify(text)}`);
        }
        // A connection that lived is left politely, to see that it still works.
        await client.ok('LOGOUT');
      }),
      { numRuns: 150 },
    );
    assert.deepEqual(failures, []);
  });
});
