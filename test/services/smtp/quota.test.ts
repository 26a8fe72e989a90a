// Quota of real accounts in SMTP and LMTP conversations.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { SmtpConnection } from '#services/smtp/connection.js';
import { deliveryText } from '#services/smtp/delivery-log.js';
import { type SessionOptions, SmtpSession } from '#services/smtp/session.js';
import { never } from '../../contract/world.js';
import { makeStore } from '../../storage/support/store-world.js';
import { DeliveryWorld, duplexPair, LineClient, loopbackPeer } from '../../support/delivery-world.js';

const sessionOptions: SessionOptions = {
  protocol: 'smtp',
  hostname: 'mx.example.test',
  rules: { recipientDelimiter: '+', localDomains: new Set(['localhost']) },
  maxMessageBytes: 100_000,
  maxRecipients: 10,
  refusesBareNewline: true,
  addsReceived: false,
  deliveredTo: 'none',
  savesToDetailMailbox: false,
  autocreate: false,
  autosubscribe: false,
  isFullTemporary: false,
  checksQuotaAtRcpt: false,
  offersTls: false,
  deliverLogText: deliveryText('%$'),
  isInner: false,
};

/** The users anna and bob, each with the same quota rules, bob with his own from userdb where there are any. */
async function start(
  test: TestContext,
  quota: readonly string[],
  overrides: Partial<SessionOptions>,
  bobFields: Record<string, string> = {},
) {
  const config = ['mail_location = maildir:~/Maildir', 'plugin {', ...quota, '}', ''].join('\n');
  const { open } = makeStore(test, config);
  const users = new DeliveryWorld();
  for (const user of ['anna', 'bob']) await users.addUser(user);
  const options = { ...sessionOptions, ...overrides };
  const openUser = (user: string, service: string) => open(user === 'bob' ? bobFields : {}, { user, service });
  const [serverSide, clientSide] = duplexPair();
  const parts = {
    auth: users.auth,
    store: { openUser: ({ user }: { readonly user: string }, service: string) => openUser(user, service) },
    log: silentLogger,
    signal: never,
    count: () => undefined,
    mayServe: () => true,
    openUserProcess: undefined,
  };
  const connection = new SmtpConnection(
    { socket: serverSide as Socket, peer: loopbackPeer, listener: { kind: 'inet', name: 'x', isTls: false }, release: () => undefined },
    { startTls: () => Promise.reject(new Error('no TLS here')) },
    new SmtpSession(options, parts, loopbackPeer, 'sess1'),
    { maxErrors: 5, log: silentLogger, hostname: options.hostname },
  );
  const ended = connection.run();
  const client = new LineClient(clientSide);
  await client.reply();
  const ask = async (command: string): Promise<string> => {
    client.send(`${command}\r\n`);
    return client.reply();
  };
  await ask(options.protocol === 'lmtp' ? 'LHLO c' : 'EHLO c');
  test.after(async () => {
    client.close();
    await ended;
  });
  return {
    client,
    ask,
    /** Sends a message of about `octets`. @returns the replies of the recipients, then those after the data */
    async deliver(octets: number, recipients: readonly string[], size = ''): Promise<readonly string[]> {
      const replies: string[] = [await ask(`MAIL FROM:<s@sender.test>${size}`)];
      for (const recipient of recipients) replies.push(await ask(`RCPT TO:<${recipient}@localhost>`));
      const accepted = replies.slice(1).filter((reply) => reply.startsWith('250')).length;
      if (accepted > 0) {
        replies.push(await ask('DATA'));
        client.send(`Subject: x\r\n\r\n${`${'x'.repeat(98)}\r\n`.repeat(octets / 100)}.\r\n`);
        const count = options.protocol === 'lmtp' ? accepted : 1;
        for (let index = 0; index < count; index += 1) replies.push(await client.reply());
      } else await ask('RSET');
      return replies.slice(1).filter((reply) => !reply.startsWith('354'));
    },
    async messages(user: string): Promise<number> {
      await using mailUser = await openUser(user, 'imap');
      const mailbox = await mailUser.openMailbox('INBOX', never);
      return (await mailbox.status({ size: false }, never)).messages;
    },
  };
}

const full = /^552 5\.2\.2 <bob@localhost> Quota exceeded \(mailbox for user is full\)$/;
const fullForNow = /^452 4\.2\.2 <bob@localhost> Quota exceeded \(mailbox for user is full\)$/;

for (const backend of ['maildir', 'count']) {
  const limited = [`quota = ${backend}:Q`, 'quota_rule = *:bytes=1000', 'quota_grace = 20%%'];

  describe(`quota = ${backend} in SMTP`, () => {
    it('refuses at RCPT what SIZE says does not fit, with the grace, so that others get the message', async (test) => {
      const world = await start(test, limited, {});
      assert.match((await world.deliver(1100, ['bob']))[1] ?? '', /^250/);
      const replies = await world.deliver(100, ['bob', 'anna'], ' SIZE=112');
      assert.match(replies[0] ?? '', full);
      assert.match(replies[1] ?? '', /^250/);
      assert.match(replies[2] ?? '', /^250/);
      assert.deepEqual([await world.messages('bob'), await world.messages('anna')], [1, 1]);
    });

    it('refuses a full mailbox at RCPT also without SIZE', async (test) => {
      const world = await start(test, [`quota = ${backend}:Q`, 'quota_rule = *:messages=1'], {});
      await world.deliver(100, ['bob']);
      const replies = await world.deliver(100, ['bob', 'anna']);
      assert.match(replies[0] ?? '', full);
      assert.deepEqual([await world.messages('bob'), await world.messages('anna')], [1, 1]);
    });

    it('refuses after the data what turns out not to fit', async (test) => {
      const world = await start(test, limited, {});
      assert.match((await world.deliver(1300, ['bob']))[1] ?? '', full);
      assert.equal(await world.messages('bob'), 0);
    });

    it('answers 452 with quota_full_tempfail', async (test) => {
      const world = await start(test, limited, { isFullTemporary: true });
      assert.match((await world.deliver(1300, ['bob']))[1] ?? '', fullForNow);
      assert.match((await world.deliver(1300, ['bob'], ' SIZE=1300'))[0] ?? '', fullForNow);
      assert.equal(await world.messages('bob'), 0);
    });
  });

  describe(`quota = ${backend} in LMTP`, () => {
    const lmtp = { protocol: 'lmtp' } as const;

    it('answers for each recipient, by its own limit', async (test) => {
      const world = await start(test, limited, lmtp, { quota_rule: '*:bytes=200' });
      const replies = await world.deliver(900, ['anna', 'bob']);
      assert.match(replies[2] ?? '', /^250 .*<anna@localhost>/);
      assert.match(replies[3] ?? '', full);
      assert.deepEqual([await world.messages('anna'), await world.messages('bob')], [1, 0]);
    });

    it('gives parallel deliveries to one user no more than there is', async (test) => {
      const world = await start(test, limited, lmtp);
      const replies = await world.deliver(500, ['bob', 'bob+a', 'bob+b', 'bob+c']);
      assert.equal(replies.slice(4).filter((reply) => reply.startsWith('250')).length, 2);
      assert.equal(replies.slice(4).filter((reply) => reply.startsWith('552 5.2.2')).length, 2);
      assert.equal(await world.messages('bob'), 2);
    });

    it('answers 452 with quota_full_tempfail', async (test) => {
      const world = await start(test, limited, { ...lmtp, isFullTemporary: true });
      assert.match((await world.deliver(1300, ['bob']))[1] ?? '', fullForNow);
    });

    it('refuses at RCPT with lmtp_rcpt_check_quota', async (test) => {
      const world = await start(test, limited, { ...lmtp, checksQuotaAtRcpt: true });
      await world.deliver(1100, ['bob']);
      const replies = await world.deliver(100, ['bob', 'anna'], ' SIZE=112');
      assert.match(replies[0] ?? '', full);
      assert.match(replies[2] ?? '', /^250 .*<anna@localhost>/);
      assert.equal(replies.length, 3);
    });

    it('says quota_exceeded_message', async (test) => {
      const world = await start(test, [...limited, 'quota_exceeded_message = Call 123, %u'], lmtp);
      assert.equal((await world.deliver(1300, ['bob']))[1], '552 5.2.2 <bob@localhost> Call 123, bob');
    });
  });
}
