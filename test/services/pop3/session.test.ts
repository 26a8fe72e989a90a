import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { Pop3Connection } from '#services/pop3/connection.js';
import { formatUidl, Maildrop } from '#services/pop3/maildrop.js';
import { Pop3Session, type SessionOptions } from '#services/pop3/session.js';
import { flagBit } from '#storage/types.js';
import { DeliveryWorld, duplexPair, LineClient } from '../../support/delivery-world.js';

const never = new AbortController().signal;

async function start(messages: readonly string[], overrides: Partial<SessionOptions> & { readonly uidlFormat?: string } = {}) {
  const world = new DeliveryWorld();
  await world.addUser('anna');
  for (const text of messages) await world.add('anna', text);
  const mailbox = await world.mailbox('anna');
  const view = await mailbox.openView({ readOnly: false }, never);
  const drop = await Maildrop.open(
    view,
    { uidlFormat: overrides.uidlFormat ?? '%08Xu%08Xv', renamesDuplicates: false, deletedFlag: '' },
    never,
  );
  const session = new Pop3Session(drop, { setsSeen: true, offersLast: false, expunges: true, ...overrides });
  const [serverSide, clientSide] = duplexPair();
  const connection = new Pop3Connection(serverSide, silentLogger, { fixesNul: false });
  const end = connection.serve(session, never).finally(() => connection.close());
  return { world, mailbox, view, session, connection, end, client: new LineClient(clientSide) };
}

const two = ['Subject: one\r\n\r\nline 1\r\n.line 2\r\nline 3\r\n', 'Subject: two\r\n\r\nbody'];

describe('POP3 session', () => {
  it('answers STAT, LIST, UIDL with sizes and ids of the messages', async () => {
    const { client, mailbox } = await start(two);
    const [first, second] = two.map((text) => text.length);
    client.send('STAT\r\nLIST\r\nLIST 2\r\nUIDL\r\nUIDL 1\r\nNOOP\r\nLIST 3\r\n');
    assert.equal(await client.line(), `+OK 2 ${(first ?? 0) + (second ?? 0)}`);
    assert.equal(await client.line(), '+OK 2 messages:');
    assert.deepEqual(await client.untilDot(), [`1 ${first}`, `2 ${second}`]);
    assert.equal(await client.line(), `+OK 2 ${second}`);
    assert.equal(await client.line(), '+OK');
    const validity = mailbox.uidValidity.toString(16).padStart(8, '0');
    assert.deepEqual(await client.untilDot(), [`1 00000001${validity}`, `2 00000002${validity}`]);
    assert.equal(await client.line(), `+OK 1 00000001${validity}`);
    assert.equal(await client.line(), '+OK ');
    assert.equal(await client.line(), "-ERR There's no message 3.");
  });

  it('sends messages dot-stuffed, whole (RETR) and cut (TOP)', async () => {
    const { client } = await start(two);
    client.send('RETR 1\r\nTOP 1 0\r\nTOP 1 2\r\nTOP 2 5\r\nRETR 2\r\n');
    await client.line();
    assert.deepEqual(await client.untilDot(), ['Subject: one', '', 'line 1', '..line 2', 'line 3']);
    await client.line();
    assert.deepEqual(await client.untilDot(), ['Subject: one', '']);
    await client.line();
    assert.deepEqual(await client.untilDot(), ['Subject: one', '', 'line 1', '..line 2']);
    await client.line();
    assert.deepEqual(await client.untilDot(), ['Subject: two', '', 'body'], 'a line end is added before the dot');
    assert.equal(await client.line(), `+OK ${two[1]?.length} octets`);
    assert.deepEqual(await client.untilDot(), ['Subject: two', '', 'body']);
  });

  it('deletes at QUIT only, and hides what is marked', async () => {
    const { client, world, end } = await start(two);
    client.send('DELE 1\r\nDELE 1\r\nLIST 1\r\nSTAT\r\nRSET\r\nSTAT\r\nDELE 2\r\nQUIT\r\n');
    for (const expect of [
      /^\+OK Marked/,
      /^-ERR Message is deleted/,
      /^-ERR/,
      /^\+OK 1 /,
      /^\+OK/,
      /^\+OK 2 /,
      /^\+OK/,
      /^\+OK Logging out, messages deleted\.$/,
    ])
      assert.match(await client.line(), expect);
    assert.equal((await end).isClean, true);
    assert.deepEqual(await world.messages('anna'), [two[0]]);
  });

  it('deletes nothing when the connection breaks, but keeps \\Seen of what was read', async () => {
    const { client, world, session, end, mailbox } = await start(two);
    client.send('RETR 1\r\nDELE 2\r\n');
    await client.line();
    await client.untilDot();
    await client.line();
    client.close();
    assert.equal((await end).isClean, false);
    await session.abandon(never);
    assert.equal((await world.messages('anna')).length, 2);
    await using view = await mailbox.openView({ readOnly: true }, never);
    assert.equal(view.systemFlagsAt(1) & flagBit.seen, flagBit.seen);
    assert.equal(view.systemFlagsAt(2) & flagBit.seen, 0);
  });

  it('keeps its numbers when another session expunges', async () => {
    const { client, mailbox, end, world } = await start([...two, 'Subject: three\r\n\r\n']);
    await using other = await mailbox.openView({ readOnly: false }, never);
    await other.store(
      [1],
      { mode: 'add', flags: { system: flagBit.deleted, keywords: [] }, unchangedSince: undefined },
      { silent: true },
      never,
    );
    await other.expunge(undefined, never);
    client.send('LIST 3\r\nRETR 1\r\nDELE 2\r\nQUIT\r\n');
    assert.match(await client.line(), /^\+OK 3 /);
    assert.match(await client.line(), /^-ERR \[SYS\/TEMP\]/);
    assert.match(await client.line(), /^\+OK/);
    assert.match(await client.line(), /^\+OK/);
    await end;
    assert.deepEqual(await world.messages('anna'), ['Subject: three\r\n\r\n']);
  });

  it('deletes at QUIT also what another client takes the \\Deleted mark off meanwhile', async () => {
    const { client, mailbox, view, end, world } = await start(two);
    await using other = await mailbox.openView({ readOnly: false }, never);
    const flags = { system: flagBit.flagged, keywords: [] };
    const expunge = view.expunge.bind(view);
    view.expunge = async (...wanted) => {
      // As STORE FLAGS does, which replaces all flags.
      await other.store([2], { mode: 'replace', flags, unchangedSince: undefined }, { silent: true }, never);
      return expunge(...wanted);
    };
    client.send('DELE 2\r\nQUIT\r\n');
    await client.line();
    assert.equal(await client.line(), '+OK Logging out, messages deleted.');
    await end;
    assert.deepEqual(await world.messages('anna'), [two[0]]);
  });

  const bad: readonly (readonly [string, RegExp])[] = [
    ['FOO', /^-ERR Unknown command: FOO$/],
    ['F\x01O', /^-ERR Unknown command: \?$/],
    ['constructor', /^-ERR Unknown command/],
    ['RETR', /^-ERR Invalid message number$/],
    ['RETR x', /^-ERR Invalid/],
    ['RETR 0', /^-ERR There's no message/],
    ['TOP 1', /^-ERR Invalid/],
    ['RETR 99999999999', /^-ERR Invalid/],
    [`NOOP ${'x'.repeat(600)}`, /^-ERR Input line too long/],
    ['LAST', /^-ERR Unknown command: LAST/],
  ];
  for (const [line, expect] of bad) {
    it(`refuses ${JSON.stringify(line.slice(0, 20))} and goes on`, async () => {
      const { client } = await start(two);
      client.send(`${line}\r\nNOOP\r\n`);
      assert.match(await client.line(), expect);
      assert.equal(await client.line(), '+OK ');
    });
  }

  it('gives up after 20 bad commands', async () => {
    const { client, end } = await start(two);
    client.send('X\r\n'.repeat(25));
    for (let i = 0; i < 20; i++) await client.line();
    assert.match(await client.line(), /^-ERR Too many/);
    assert.match((await end).reason, /Too many bad commands/);
  });

  it('says goodbye when stopped', async () => {
    const { client, connection, end } = await start(two);
    connection.stop('Server shutting down');
    assert.equal(await client.line(), '-ERR [SYS/TEMP] Server shutting down.');
    await end;
  });

  it('serves an empty mailbox', async () => {
    const { client } = await start([]);
    client.send('STAT\r\nLIST\r\nUIDL\r\n');
    assert.equal(await client.line(), '+OK 0 0');
    await client.line();
    assert.deepEqual(await client.untilDot(), []);
    await client.line();
    assert.deepEqual(await client.untilDot(), []);
  });
});

describe('pop3_uidl_format', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['%08Xu%08Xv', '000000ff66112233'],
    ['%u.%v', '255.1712398899'],
    ['%f', 'file.name'],
    ['%g%%', 'file.name%'],
    ['%Uf', 'FILE.NAME'],
    ['%4Xv', '6611'],
  ];
  for (const [format, expected] of cases)
    it(`${format} gives ${expected}`, () =>
      assert.equal(formatUidl(format, { u: 255, v: 0x66112233, m: '', f: 'file.name', g: 'file.name' }), expected));
});
