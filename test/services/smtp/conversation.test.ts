import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import type { Peer } from '#ipc/peer.js';
import { silentLogger } from '#log/logger.js';
import { SmtpConnection } from '#services/smtp/connection.js';
import { deliveryText } from '#services/smtp/delivery-log.js';
import { type SessionOptions, SmtpSession } from '#services/smtp/session.js';
import { StorageError } from '#storage/errors.js';
import { DeliveryWorld, duplexPair, LineClient, loopbackPeer } from '../../support/delivery-world.js';

interface World {
  readonly world: DeliveryWorld;
  readonly client: LineClient;
  readonly connection: SmtpConnection;
  readonly ended: Promise<void>;
}

async function start(
  protocol: 'smtp' | 'lmtp',
  overrides: Partial<SessionOptions> = {},
  peer: Peer = loopbackPeer,
  { servesAll = true } = {},
): Promise<World> {
  const world = new DeliveryWorld();
  for (const user of ['anna', 'bob', 'carl@example.test']) await world.addUser(user);
  const [serverSide, clientSide] = duplexPair();
  const options: SessionOptions = {
    protocol,
    hostname: 'mx.example.test',
    rules: { recipientDelimiter: '+', localDomains: new Set(['localhost']) },
    maxMessageBytes: 10_000,
    maxRecipients: 3,
    refusesBareNewline: protocol === 'smtp',
    addsReceived: true,
    deliveredTo: 'final',
    savesToDetailMailbox: false,
    autocreate: false,
    autosubscribe: false,
    isFullTemporary: false,
    checksQuotaAtRcpt: false,
    offersTls: false,
    deliverLogText: deliveryText('msgid=%m: %$'),
    isInner: false,
    ...overrides,
  };
  const session = new SmtpSession(
    options,
    {
      auth: world.auth,
      store: world.store,
      log: silentLogger,
      signal: new AbortController().signal,
      count: () => undefined,
      mayServe: () => servesAll,
      openUserProcess: undefined,
    },
    peer,
    'sess1',
  );
  const accepted = {
    socket: serverSide as Socket,
    peer,
    listener: { kind: 'inet', name: protocol, isTls: false },
    release: () => undefined,
  } as const;
  const noTls = { startTls: () => Promise.reject(new Error('no TLS here')) };
  const connection = new SmtpConnection(accepted, noTls, session, { maxErrors: 5, log: silentLogger, hostname: 'mx.example.test' });
  const ended = connection.run();
  const client = new LineClient(clientSide);
  assert.match(await client.reply(), /^220 mx\.example\.test /);
  return { world, client, connection, ended };
}

/** Sends command lines one by one; each must get the reply beside it. */
async function talk(client: LineClient, steps: readonly (readonly [send: string, expect: RegExp])[]): Promise<void> {
  for (const [send, expect] of steps) {
    client.send(`${send}\r\n`);
    assert.match(await client.reply(), expect, send);
  }
}

const hello: readonly (readonly [string, RegExp])[] = [
  ['EHLO client.test', /^250 /],
  ['MAIL FROM:<s@sender.test>', /^250 2\.1\.0/],
];

describe('SMTP ingest', () => {
  it('saves a message with trace headers for each recipient, dots unstuffed', async () => {
    const { world, client, ended } = await start('smtp');
    await talk(client, [
      ...hello,
      ['RCPT TO:<anna@localhost>', /^250 2\.1\.5/],
      ['RCPT TO:<bob+lists@localhost>', /^250/],
      ['DATA', /^354/],
      ['Subject: hi\r\n\r\n..dot\r\n.', /^250 2\.0\.0/],
      ['QUIT', /^221/],
    ]);
    await ended;
    for (const user of ['anna', 'bob']) {
      const [text, ...more] = await world.messages(user);
      assert.equal(more.length, 0);
      assert.match(
        text ?? '',
        new RegExp(
          `^Return-Path: <s@sender\\.test>\r\nDelivered-To: ${user}\r\nReceived: from client\\.test \\(\\[127\\.0\\.0\\.1\\]\\)\r\n\tby mx\\.example\\.test with ESMTP\r\n\tid sess1\r\n`,
        ),
      );
      assert.ok(text?.endsWith('\r\nSubject: hi\r\n\r\n.dot\r\n'));
      assert.ok(!text?.includes('for <'), 'recipients do not learn of each other');
    }
  });

  it('accepts everything in one packet (PIPELINING)', async () => {
    const { world, client, ended } = await start('smtp');
    client.send('EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<anna@localhost>\r\nDATA\r\n');
    for (const expect of [/^250 /, /^250/, /^250/, /^354/]) assert.match(await client.reply(), expect);
    client.send('a\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<bob@localhost>\r\nDATA\r\nb\r\n.\r\nQUIT\r\n');
    for (const expect of [/^250/, /^250/, /^250/, /^354/, /^250/, /^221/]) assert.match(await client.reply(), expect);
    await ended;
    assert.equal((await world.messages('anna')).length + (await world.messages('bob')).length, 2);
  });

  it('takes BDAT chunks octet for octet (RFC 3030)', async () => {
    const { world, client, ended } = await start('smtp');
    await talk(client, [...hello, ['RCPT TO:<carl@example.test>', /^250/]]);
    client.send('BDAT 6\r\n.\r\nab\n');
    assert.match(await client.reply(), /^250 2\.0\.0 6 octets/);
    client.send('BDAT 3 LAST\r\nxyzQUIT\r\n');
    assert.match(await client.reply(), /^250 2\.0\.0/);
    assert.match(await client.reply(), /^221/);
    await ended;
    assert.ok((await world.messages('carl@example.test'))[0]?.endsWith('.\r\nab\nxyz'));
  });

  const refusals: readonly (readonly [name: string, steps: readonly (readonly [string, RegExp])[]])[] = [
    [
      'an unknown user',
      [...hello, ['RCPT TO:<nobody@localhost>', /^550 5\.1\.1 <nobody@localhost> User doesn't exist: nobody@localhost$/]],
    ],
    ['relaying', [...hello, ['RCPT TO:<x@elsewhere.test>', /^550 5\.7\.1/]]],
    ['a lookup that fails', [...hello, ['RCPT TO:<auth-is-down@localhost>', /^451 4\.3\.0/]]],
    [
      'commands out of order',
      [
        ['MAIL FROM:<a@b.test>', /^503/],
        ['EHLO c', /^250/],
        ['RCPT TO:<anna@localhost>', /^503/],
        ['DATA', /^503/],
      ],
    ],
    ['DATA without recipients', [...hello, ['DATA', /^554/]]],
    ['LHLO', [['LHLO c', /^500/]]],
    [
      'a message announced as too large',
      [
        ['EHLO c', /^250/],
        ['MAIL FROM:<a@b.test> SIZE=10001', /^552 5\.3\.4/],
      ],
    ],
    [
      'unknown parameters',
      [
        ['EHLO c', /^250/],
        ['MAIL FROM:<a@b.test> FOO=1', /^555/],
      ],
    ],
    [
      'parameters after HELO',
      [
        ['HELO c', /^250/],
        ['MAIL FROM:<a@b.test> SIZE=1', /^555/],
      ],
    ],
    [
      'more recipients than the limit',
      [
        ...hello,
        ['RCPT TO:<anna@localhost>', /^250/],
        ['RCPT TO:<bob@localhost>', /^250/],
        ['RCPT TO:<carl@example.test>', /^250/],
        ['RCPT TO:<anna+x@localhost>', /^452 4\.5\.3/],
      ],
    ],
    [
      'XCLIENT from strangers',
      [
        ['EHLO c', /^250/],
        ['XCLIENT ADDR=10.0.0.1', /^550/],
      ],
    ],
    [
      'a line of 5,000 octets, and goes on',
      [
        [`NOOP ${'x'.repeat(5000)}`, /^500/],
        ['NOOP', /^250/],
      ],
    ],
    [
      'UTF-8 without SMTPUTF8',
      [
        ['EHLO c', /^250/],
        ['MAIL FROM:<jürgen@b.test>', /^553 5\.6\.7/],
        ['MAIL FROM:<jürgen@b.test> SMTPUTF8', /^250/],
      ],
    ],
  ];
  for (const [name, steps] of refusals) {
    it(`refuses ${name}`, async () => {
      const { client, ended } = await start('smtp');
      await talk(client, [...steps, ['QUIT', /^221/]]);
      await ended;
    });
  }

  const badBodies: readonly (readonly [string, string, RegExp])[] = [
    ['larger than the limit', `${'x'.repeat(998)}\r\n`.repeat(11), /^552 5\.3\.4/],
    ['with a bare LF', 'a\nb\r\n', /^550 5\.6\.0/],
    ['that smuggles another after LF . LF', 'a\n.\nMAIL FROM:<x@y.test>\r\n', /^550 5\.6\.0/],
    ['with 101 Received fields', `${'Received: x\r\n'.repeat(101)}\r\nloop\r\n`, /^554 5\.4\.6/],
  ];
  for (const [name, body, expect] of badBodies) {
    it(`saves nothing of a message ${name}, and goes on`, async () => {
      const { world, client, ended } = await start('smtp', { maxMessageBytes: 10_500 });
      await talk(client, [
        ...hello,
        ['RCPT TO:<anna@localhost>', /^250/],
        ['DATA', /^354/],
        [`${body}.`, expect],
        ['NOOP', /^250/],
        ['QUIT', /^221/],
      ]);
      await ended;
      assert.deepEqual(await world.messages('anna'), []);
    });
  }

  it('refuses a broken mailbox at RCPT, so that other recipients get the message', async () => {
    const { world, client, ended } = await start('smtp');
    world.broken.set('bob', new StorageError('over-quota', 'quota'));
    await talk(client, [
      ...hello,
      ['RCPT TO:<bob@localhost>', /^552 5\.2\.2/],
      ['RCPT TO:<anna@localhost>', /^250/],
      ['DATA', /^354/],
      ['hello\r\n.', /^250/],
      ['QUIT', /^221/],
    ]);
    await ended;
    assert.equal((await world.messages('anna')).length, 1);
  });

  it('answers 452 4.3.1 when the disk is full and 451 4.2.0 when the directory cannot be used', async () => {
    const { world, client, ended } = await start('smtp');
    world.broken.set('anna', new StorageError('no-space', 'ENOSPC'));
    world.broken.set('bob', new StorageError('unavailable', 'EACCES'));
    await talk(client, [
      ...hello,
      ['RCPT TO:<anna@localhost>', /^452 4\.3\.1/],
      ['RCPT TO:<bob@localhost>', /^451 4\.2\.0/],
      ['QUIT', /^221/],
    ]);
    await ended;
  });

  it('delivers nothing to users that it may not serve', async () => {
    const { client, ended } = await start('smtp', { isInner: false }, loopbackPeer, { servesAll: false });
    await talk(client, [...hello, ['RCPT TO:<anna@localhost>', /^451 4\.3\.0/], ['QUIT', /^221/]]);
    await ended;
  });

  it('saves nothing when the connection ends inside the data', async () => {
    const { world, client, ended } = await start('smtp');
    await talk(client, [...hello, ['RCPT TO:<anna@localhost>', /^250/], ['DATA', /^354/]]);
    client.send('Subject: half\r\n\r\nnot yet');
    client.close();
    await ended;
    assert.deepEqual(await world.messages('anna'), []);
  });

  it('closes after too many errors', async () => {
    const { client, ended } = await start('smtp');
    client.send('A\r\nB\r\nC\r\nD\r\nE\r\nNOOP\r\n');
    for (let i = 0; i < 5; i++) assert.match(await client.reply(), /^500/);
    assert.match(await client.reply(), /^421 4\.7\.0/);
    await ended;
  });

  it('says goodbye when it is stopped while waiting, and only after the message when receiving', async () => {
    const idle = await start('smtp');
    idle.connection.stop();
    assert.match(await idle.client.reply(), /^421 4\.3\.2/);
    await idle.ended;
    const busy = await start('smtp');
    await talk(busy.client, [...hello, ['RCPT TO:<anna@localhost>', /^250/], ['DATA', /^354/]]);
    busy.connection.stop();
    busy.client.send('whole\r\n.\r\n');
    assert.match(await busy.client.reply(), /^250/);
    assert.match(await busy.client.reply(), /^421/);
    await busy.ended;
    assert.equal((await busy.world.messages('anna')).length, 1);
  });

  it('believes XCLIENT from trusted networks', async () => {
    const { world, client, ended } = await start('smtp', {}, { ...loopbackPeer, isTrusted: true });
    await talk(client, [
      ['EHLO proxy', /^250/],
      ['XCLIENT ADDR=192.0.2.7 PORT=99', /^220/],
      ...hello,
      ['RCPT TO:<anna@localhost>', /^250/],
      ['DATA', /^354/],
      ['x\r\n.', /^250/],
      ['QUIT', /^221/],
    ]);
    await ended;
    assert.match((await world.messages('anna'))[0] ?? '', /\(\[192\.0\.2\.7\]\)/);
  });
});

describe('LMTP', () => {
  const lhlo: readonly (readonly [string, RegExp])[] = [
    ['LHLO client.test', /^250 /],
    ['MAIL FROM:<s@sender.test>', /^250/],
  ];
  it('gives each recipient its own reply', async () => {
    const { world, client, ended } = await start('lmtp');
    world.broken.set('bob', new StorageError('over-quota', 'quota'));
    await talk(client, [...lhlo, ['RCPT TO:<anna@localhost>', /^250/], ['RCPT TO:<bob@localhost>', /^250/], ['DATA', /^354/]]);
    client.send('x\r\n.\r\n');
    assert.equal(await client.reply(), '250 2.0.0 <anna@localhost> sess1 Saved');
    assert.equal(await client.reply(), '552 5.2.2 <bob@localhost> Quota exceeded (mailbox for user is full)');
    client.close();
    await ended;
    assert.equal((await world.messages('anna')).length, 1);
  });
  it('keeps bare newlines as they came', async () => {
    const { world, client, ended } = await start('lmtp');
    await talk(client, [...lhlo, ['RCPT TO:<anna@localhost>', /^250/], ['DATA', /^354/], ['a\nb\r\n.', /^250/], ['QUIT', /^221/]]);
    await ended;
    assert.ok((await world.messages('anna'))[0]?.endsWith('a\nb\r\n'));
  });
  it('saves into the detail mailbox when told, else into INBOX', async () => {
    const { world, client, ended } = await start('lmtp', { savesToDetailMailbox: true });
    await world.addMailbox('anna', 'lists');
    await talk(client, [...lhlo, ['RCPT TO:<anna+lists@localhost>', /^250/], ['RCPT TO:<anna+none@localhost>', /^250/], ['DATA', /^354/]]);
    client.send('x\r\n.\r\n');
    assert.match(await client.reply(), /^250/);
    assert.match(await client.reply(), /^250/);
    client.close();
    await ended;
    assert.equal((await world.messages('anna', 'lists')).length, 1);
    assert.equal((await world.messages('anna')).length, 1);
  });
  it('refuses EHLO', async () => {
    const { client, ended } = await start('lmtp');
    await talk(client, [
      ['EHLO c', /^500/],
      ['QUIT', /^221/],
    ]);
    await ended;
  });
});
