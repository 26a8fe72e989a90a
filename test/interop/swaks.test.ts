// SMTP and LMTP as swaks and bare sockets speak it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { accountState, ImapClient } from './support/imap.js';
import { makeMessage } from './support/mail.js';
import { runProgram } from './support/programs.js';
import { startSession } from './support/session.js';
import type { World } from './support/world.js';

const settings = { delivery_local_domains: 'localhost' };

function swaks(world: World, protocol: 'SMTP' | 'LMTP', args: readonly string[], message: string): ReturnType<typeof runProgram> {
  const port = protocol === 'SMTP' ? world.ports.smtp : world.ports.lmtp;
  return runProgram(
    'swaks',
    [
      ...['--protocol', protocol === 'SMTP' ? 'ESMTP' : protocol, '--server', `127.0.0.1:${port}`, '--ehlo', 'sender.example.test'],
      ...['--from', 'sender@example.test', '--to', 'anna@localhost', '--data', '-', ...args],
    ],
    // swaks ends the last line itself.
    { input: Buffer.from(message.replaceAll('\r\n', '\n').replace(/\n$/, ''), 'latin1') },
  );
}

/** The one message in the inbox as the server stored it, below the fields it has put on top. */
async function delivered(world: World, user = 'anna'): Promise<string> {
  const client = await ImapClient.login(world.ports.imap, user);
  await client.ok('EXAMINE INBOX');
  const [line = ''] = (await client.ok('UID FETCH * (BODY.PEEK[])')).filter((text) => text.includes('BODY[]'));
  await client.logout();
  const text = line.slice(line.indexOf('\r\n') + 2, -1);
  return text.slice(text.indexOf('From: '));
}

/** Everything a server says, until it has nothing to say for a while or closes. */
async function converse(port: number, parts: readonly Buffer[]): Promise<string> {
  const socket: Socket = connect(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  for (const part of parts) socket.write(part);
  const ended = once(socket, 'close');
  await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 10_000).unref())]);
  socket.destroy();
  return text;
}

describe('swaks with Roost', () => {
  for (const protocol of ['SMTP', 'LMTP'] as const) {
    for (const [what, args] of [
      ['in the clear', []],
      ['after STARTTLS', ['--tls']],
      ['with pipelining', ['--pipeline']],
      ['with pipelining after STARTTLS', ['--pipeline', '--tls']],
    ] as const) {
      it(`delivers 8-bit and dotted lines over ${protocol} ${what}`, async (test) => {
        const { world } = await startSession(test, { smtp: true, settings });
        const message = makeMessage({ subject: 'eight', body: 'Gr\xc3\xbc\xc3\x9fe\n.\n..\n.dot\nlast' });
        const { code, stdout, stderr } = await swaks(world, protocol, args, message);
        assert.equal(code, 0, stdout + stderr);
        assert.equal(await delivered(world), message);
      });
    }

    it(`delivers a message of 20 MB over ${protocol}`, async (test) => {
      const { world } = await startSession(test, { smtp: true, settings });
      const message = makeMessage({ subject: 'large', body: `${'0123456789'.repeat(7)}\n`.repeat(280_000) });
      const { code, stdout, stderr } = await swaks(world, protocol, ['--silent', '2'], message);
      assert.equal(code, 0, stdout.slice(-2_000) + stderr.slice(-2_000));
      assert.equal((await delivered(world)) === message, true);
    });

    it(`takes and gives UTF-8 addresses over ${protocol}`, async (test) => {
      const { world } = await startSession(test, { smtp: true, settings });
      const port = protocol === 'SMTP' ? world.ports.smtp : world.ports.lmtp;
      const lines = [
        `${protocol === 'SMTP' ? 'EHLO' : 'LHLO'} sender.example.test`,
        'MAIL FROM:<J\u00f6rg@b\u00fccher.example> SMTPUTF8',
        'RCPT TO:<anna@localhost>',
        'DATA',
        'From: <J\u00f6rg@b\u00fccher.example>',
        'Subject: Gr\u00fc\u00dfe',
        '',
        'text',
        '.',
        'QUIT',
      ];
      const said = await converse(port, [Buffer.from(`${lines.join('\r\n')}\r\n`)]);
      assert.match(said, /SMTPUTF8/);
      assert.match(said, /^354/m);
      assert.match(said, /^250 2\.0\.0/m);
      assert.match(await delivered(world), /Subject: Gr\xc3\xbc\xc3\x9fe\r\n/);
    });
  }

  it('is refused for an address elsewhere, an unknown user, and a message over the limit', async (test) => {
    const { world } = await startSession(test, { smtp: true, settings: { ...settings, smtp_max_message_size: '100k' } });
    const relayed = await swaks(world, 'SMTP', ['--to', 'someone@elsewhere.example'], makeMessage({ subject: 'relay' }));
    assert.match(relayed.stdout, /<\*\* 55\d 5\.7\.1/);
    const unknown = await swaks(world, 'SMTP', ['--to', 'nobody-here@localhost'], makeMessage({ subject: 'unknown' }));
    assert.match(unknown.stdout, /<\*\* 550 5\.1\.1/);
    const large = await swaks(
      world,
      'SMTP',
      ['--silent', '0'],
      makeMessage({ subject: 'large', body: 'x'.repeat(70).concat('\n').repeat(3_000) }),
    );
    assert.match(large.stdout, /<\*\* 552 5\.3\.4/);
    assert.equal((await accountState(world.ports.imap, 'anna')).mailboxes['INBOX']?.messages.length, 0);
  });
});

describe('SMTP smuggling', () => {
  const ends: readonly (readonly [string, string])[] = [
    ['LF . LF', '\n.\n'],
    ['LF . CRLF', '\n.\r\n'],
    ['CRLF . LF', '\r\n.\n'],
    ['CR . CR', '\r.\r'],
    ['CR . CRLF', '\r.\r\n'],
    ['CRLF . CR', '\r\n.\r'],
    ['CRLF NUL . CRLF', '\r\n\0.\r\n'],
    ['CR LF . CR CR LF', '\r\n.\r\r\n'],
  ];
  for (const protocol of ['SMTP', 'LMTP'] as const) {
    it(`gets no second message in over ${protocol}, whatever ends the first`, async (test) => {
      const { world } = await startSession(test, { smtp: true, settings });
      const port = protocol === 'SMTP' ? world.ports.smtp : world.ports.lmtp;
      for (const [name, end] of ends) {
        const smuggled = `MAIL FROM:<evil@example.test>\r\nRCPT TO:<berta@localhost>\r\nDATA\r\nFrom: evil@example.test\r\nSubject: smuggled\r\n\r\nevil\r\n.\r\n`;
        const said = await converse(port, [
          Buffer.from(
            `${protocol === 'SMTP' ? 'EHLO' : 'LHLO'} a.example\r\nMAIL FROM:<a@example.test>\r\nRCPT TO:<anna@localhost>\r\nDATA\r\n`,
            'latin1',
          ),
          Buffer.from(`From: a@example.test\r\nSubject: ${name}\r\n\r\ntext${end}${smuggled}QUIT\r\n`, 'latin1'),
        ]);
        assert.ok((said.match(/^354/gm) ?? []).length <= 1, `${name}: one DATA only\n${said}`);
      }
      const { mailboxes } = await accountState(world.ports.imap, 'berta');
      assert.equal(mailboxes['INBOX']?.messages.length ?? 0, 0);
    });
  }
});
