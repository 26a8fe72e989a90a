import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import { constants, createDeflateRaw, createInflateRaw } from 'node:zlib';
import { type LogFields, type Logger, silentLogger } from '#log/logger.js';
import { ImapConnection } from '#services/imap/connection.js';
import { createMemoryAccount } from '#storage/memory/account.js';
import { createImapWorld, defaultImapSettings } from '../../support/imap-world.js';
import { LineClient } from '../../support/line-client.js';
import { socketPair, talkOver } from '../../support/socket-pair.js';

const message = (subject: string, body = 'body'): string => `Subject: ${subject}\r\n\r\n${body}\r\n`;
const append = (text: string): string => `APPEND INBOX {${text.length}+}\r\n${text}`;

function recordingLog(lines: { level: string; text: string; fields: LogFields }[]): Logger {
  const log =
    (level: string) =>
    (_event: string, text: string, fields: LogFields = {}) =>
      void lines.push({ level, text, fields });
  const logger: Logger = {
    error: log('error'),
    warning: log('warning'),
    info: log('info'),
    debug: log('debug'),
    child: () => logger,
    isDebug: false,
  };
  return logger;
}

describe('IMAP session', () => {
  it('ends after twenty bad commands in a row, but a good one starts the count anew', async () => {
    await using world = await createImapWorld();
    const { client } = await world.connect();
    for (let count = 0; count < 19; count++) assert.match((await client.run('FOO')).join(), /^BAD/);
    await client.ok('NOOP');
    for (let count = 0; count < 20; count++) assert.match((await client.run('FOO')).join(), /^BAD/);
    assert.equal(await client.line(), '* BYE Too many invalid IMAP commands.');
    assert.equal(await client.line(), undefined);
  });

  it('logs one line with counts at its end', async () => {
    const lines: { level: string; text: string; fields: LogFields }[] = [];
    await using world = await createImapWorld({ log: recordingLog(lines) });
    const { client, done } = await world.connect();
    await client.ok(append(message('a')));
    await client.ok('SELECT INBOX');
    await client.ok('FETCH 1 (BODY[] BODY.PEEK[HEADER])');
    await client.ok('STORE 1 +FLAGS (\\Deleted)');
    await client.ok('EXPUNGE');
    await client.ok('LOGOUT');
    await done;
    const [last] = lines;
    assert.equal(lines.length, 1);
    assert.match(
      last?.text ?? '',
      /^Disconnected: Logged out in=\d+ out=\d+ deleted=1 expunged=1 trashed=0 hdr_count=1 hdr_bytes=14 body_count=1 body_bytes=20$/,
    );
  });

  it('logs the last command of a client that just went away', async () => {
    const lines: { level: string; text: string; fields: LogFields }[] = [];
    await using world = await createImapWorld({ log: recordingLog(lines) });
    const { client, done } = await world.connect();
    await client.ok('NOOP');
    client.close();
    await done;
    assert.match(lines[0]?.text ?? '', /^Disconnected: Connection closed \(NOOP finished \d\.\d+ secs ago\) in=9 out=/);
  });

  it('runs what was sent before the client closed its side', async () => {
    await using world = await createImapWorld();
    const { client } = await world.connect();
    client.stream.end(Buffer.from(`a ${append(message('a'))}\r\nb STATUS INBOX (MESSAGES)\r\n`));
    const lines: string[] = [];
    for (let line = await client.line(); line !== undefined; line = await client.line()) lines.push(line);
    assert.match(lines[1] ?? '', /MESSAGES 1/);
    assert.match(lines[2] ?? '', /^b OK/);
  });

  it('throws away a message whose literal never ends', async () => {
    await using world = await createImapWorld();
    const first = await world.connect();
    first.client.stream.end(Buffer.from('a APPEND INBOX {100+}\r\nSubject: x\r\n'));
    await first.done;
    const { client } = await world.connect();
    assert.match((await client.ok('STATUS INBOX (MESSAGES)')).join(), /MESSAGES 0/);
  });

  it('says BYE to a client that is silent for too long, also in IDLE', async () => {
    for (const command of ['NOOP', 'IDLE']) {
      await using world = await createImapWorld({ idleTimeoutMs: 30 });
      const { client, done } = await world.connect();
      client.send(command);
      const lines: string[] = [];
      for (let line = await client.line(); line !== undefined; line = await client.line()) lines.push(line);
      assert.ok(lines.includes('* BYE Disconnected for inactivity.'), `${command}: ${lines.join(' | ')}`);
      await done;
    }
  });

  it('cuts off a client that does not read for too long, with a bounded amount waiting', async () => {
    const lines: { level: string; text: string; fields: LogFields }[] = [];
    await using world = await createImapWorld({ stallTimeoutMs: 50, log: recordingLog(lines) });
    const { client, connection, done } = await world.connect();
    await client.ok(append(message('big', 'x'.repeat(1_000_000))));
    await client.ok('SELECT INBOX');
    client.stream.pause();
    for (let count = 0; count < 20; count++) client.send('FETCH 1 BODY.PEEK[]');
    await done;
    assert.match(lines.at(-1)?.text ?? '', /did not read/);
    assert.ok(Number(lines.at(-1)?.fields['out']) < 1_500_000);
    assert.equal(connection.session.isSelected, false);
  });

  it('tells a client that the server stops, after the command that runs', async () => {
    await using world = await createImapWorld();
    const { client, connection, done } = await world.connect();
    await client.ok('NOOP');
    connection.stop('shutdown');
    assert.equal(await client.line(), '* BYE [UNAVAILABLE] Server shutting down.');
    await done;
  });

  it('tells a client so that is saying something just then', async (test) => {
    await using user = createMemoryAccount()();
    const [near, far] = await socketPair(test);
    const connection = new ImapConnection({ stream: far, user, settings: defaultImapSettings(), log: silentLogger });
    const done = connection.run();
    const { heard, errors } = await talkOver(near, () => connection.stop('shutdown'));
    await done;
    assert.deepEqual([heard, errors], ['* BYE [UNAVAILABLE] Server shutting down.\r\n', []]);
  });

  it('sends a sign of life in IDLE', async () => {
    await using world = await createImapWorld({ settings: { imap_idle_notify_interval: 20 } });
    const { client } = await world.connect();
    client.send('IDLE');
    assert.match((await client.line()) ?? '', /^\+/);
    assert.equal(await client.line(), '* OK Still here');
    client.raw('DONE\r\n');
    let line = await client.line();
    while (line?.startsWith('*')) line = await client.line();
    assert.match(line ?? '', /OK Idle completed/);
  });

  it('offers what the settings say', async () => {
    for (const [settings, expected] of [
      [{}, /LITERAL\+ /],
      [{ imap_literal_minus: true }, /LITERAL- /],
      [{ imap_capability: 'IMAP4rev1 X' }, /^\* CAPABILITY IMAP4rev1 X$/],
      [{ imap_capability: '+XFOO IDLE' }, /^\* CAPABILITY IMAP4rev1 .* XFOO$/],
      [{ imap_append_limit: 1000 }, /APPENDLIMIT=1000/],
    ] as const) {
      await using world = await createImapWorld({ settings });
      assert.match((await (await world.connect()).client.ok('CAPABILITY')).join(), expected);
    }
  });

  it('refuses a message over the limit before it is sent', async () => {
    await using world = await createImapWorld({ settings: { imap_append_limit: 100 } });
    const { client } = await world.connect();
    assert.match((await client.run('APPEND INBOX {101}')).join(), /^NO \[TOOBIG\]/);
    assert.match((await client.run(`APPEND INBOX {101+}\r\n${'x'.repeat(101)}`)).join(), /^NO \[TOOBIG\]/);
    await client.ok(`APPEND INBOX {100+}\r\n${'x'.repeat(100)}`);
  });

  it('holds a client with the workaround delay-newmail back from new messages until it asks', async () => {
    await using world = await createImapWorld({ settings: { imap_client_workarounds: ['delay-newmail'] } });
    const { client } = await world.connect();
    await client.ok('SELECT INBOX');
    await (await world.connect()).client.ok(append(message('a')));
    assert.deepEqual(await client.ok('CAPABILITY').then((lines) => lines.length), 1);
    assert.match((await client.ok('NOOP')).join(), /1 EXISTS/);
  });

  it('goes on in both directions after COMPRESS', async () => {
    await using world = await createImapWorld();
    const { client } = await world.connect();
    await client.ok('COMPRESS DEFLATE');
    const { stream } = client;
    stream.removeAllListeners('data');
    const deflate = createDeflateRaw();
    const inflate = createInflateRaw();
    stream.on('data', (chunk: Buffer) => inflate.write(chunk));
    deflate.on('data', (chunk: Buffer) => stream.write(chunk));
    const inner = new LineClient(
      new Duplex({
        read() {
          // Data is pushed as it comes.
        },
        write(chunk: Buffer, _encoding, done) {
          deflate.write(chunk);
          deflate.flush(constants.Z_SYNC_FLUSH, done);
        },
      }),
    );
    inflate.on('data', (chunk: Buffer) => inner.stream.push(chunk));
    assert.doesNotMatch((await inner.ok('CAPABILITY')).join(), /COMPRESS/);
    await inner.ok(append(message('x', 'y'.repeat(500_000))));
    await inner.ok('SELECT INBOX');
    assert.equal((await inner.ok('FETCH 1 BODY.PEEK[TEXT]')).join().length > 500_000, true);
    assert.match((await inner.run('COMPRESS DEFLATE')).join(), /^NO \[COMPRESSIONACTIVE\]/);
    await inner.ok('LOGOUT');
  });
});

describe('IMAP limits', () => {
  it('a million parentheses are refused in bounded memory', async () => {
    await using world = await createImapWorld();
    const { client } = await world.connect();
    client.raw(`a SEARCH ${'('.repeat(1_000_000)}\r\n`);
    assert.match((await client.line()) ?? '', /^a BAD .*Too long argument/);
    assert.match((await client.run(`SEARCH ${'('.repeat(60_000)}`)).join(), /^BAD/);
    await client.ok('NOOP');
  });

  it('a 4 GB literal is refused before it is sent, and ends the session when it is not waited for', async () => {
    await using world = await createImapWorld();
    const { client } = await world.connect();
    assert.match((await client.run('LIST "" {4294967295}')).join(), /^BAD \[TOOBIG\]/);
    await client.ok('NOOP');
    client.send('LIST "" {4294967295+}');
    assert.match((await client.line()) ?? '', /^\* BYE/);
    assert.equal(await client.line(), undefined);
  });

  it('a SEARCH of 16,000 keys is answered', async () => {
    await using world = await createImapWorld();
    const { client } = await world.connect();
    await client.ok(append(message('a')));
    await client.ok('SELECT INBOX');
    assert.deepEqual(await client.ok(`SEARCH ${'ALL '.repeat(16_000)}ALL`), ['* SEARCH 1']);
    assert.deepEqual(await client.ok(`SEARCH ${'OR 1 '.repeat(1_500)}2`), ['* SEARCH 1']);
  });
});
