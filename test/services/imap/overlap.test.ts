import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ImapConnection } from '#services/imap/connection.js';
import { type Connected, createImapWorld } from '../../support/imap-world.js';
import type { LineClient } from '../../support/line-client.js';

const message = (subject: string): string => `Subject: ${subject}\r\n\r\nbody ${subject}\r\n`;

/** The next search of the selected mailbox ends when the returned function is called. */
function holdSearch(connection: ImapConnection): () => void {
  const { view } = connection.session;
  const search = view.search.bind(view);
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  Object.defineProperty(view, 'search', {
    configurable: true,
    value: async (...args: Parameters<typeof search>) => {
      await released;
      return search(...args);
    },
  });
  return release;
}

async function openWorld(): Promise<
  AsyncDisposable & { readonly one: Connected; readonly client: LineClient; readonly other: LineClient }
> {
  const world = await createImapWorld();
  const one = await world.connect();
  const { client } = one;
  for (const subject of ['a', 'b', 'c']) {
    const text = message(subject);
    await client.ok(`APPEND INBOX {${text.length}+}\r\n${text}`);
  }
  await client.ok('SELECT INBOX');
  const other = (await world.connect()).client;
  await other.ok('SELECT INBOX');
  return { one, client, other, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

describe('commands beside a long search', () => {
  it('are answered while it goes on, and hear of no expunge', async () => {
    await using world = await openWorld();
    const { client, other, one } = world;
    const release = holdSearch(one.connection);
    client.raw('s SEARCH SUBJECT b\r\n');
    await other.ok('STORE 1 +FLAGS.SILENT (\\Deleted)');
    await other.ok('EXPUNGE');
    assert.deepEqual(await client.ok('NOOP'), []);
    assert.deepEqual(await client.ok('STATUS INBOX (MESSAGES)'), ['* STATUS INBOX (MESSAGES 2)']);
    assert.deepEqual(await client.ok('FETCH 3 (UID BODY.PEEK[TEXT])'), ['* 3 FETCH (UID 3 BODY[TEXT] {8}\r\nbody c\r\n)']);
    assert.equal((await client.ok('LIST "" INBOX')).length, 1);
    release();
    const lines: string[] = [];
    for (let line = await client.line(); line !== undefined; line = await client.line()) {
      lines.push(line);
      if (line.startsWith('s OK')) break;
    }
    assert.deepEqual(lines[0], '* SEARCH 2');
    assert.ok(!lines.some((line) => line.includes('EXPUNGE')));
    assert.ok((await client.ok('NOOP')).includes('* 1 EXPUNGE'));
  });

  it('wait when they are of another kind, and so do those behind them', async () => {
    await using world = await openWorld();
    const { client, one } = world;
    const release = holdSearch(one.connection);
    const text = message('new');
    client.raw('s SORT (SUBJECT) UTF-8 ALL\r\n');
    client.raw('a NOOP\r\n');
    assert.match((await client.line()) ?? '', /^a OK/);
    client.raw(`b STORE 1 +FLAGS (\\Seen)\r\nc NOOP\r\nd APPEND INBOX {${text.length}+}\r\n${text}\r\ne FETCH 1 (FLAGS)\r\n`);
    release();
    const lines: string[] = [];
    for (let line = await client.line(); line !== undefined; line = await client.line()) {
      lines.push(line);
      if (line.startsWith('e ')) break;
    }
    const order = lines.filter((line) => /^[a-z] /.test(line) || /SORT|STORE/.test(line)).map((line) => line.slice(0, 6));
    assert.deepEqual(order, ['* SORT', 's OK S', 'b OK S', 'c OK N', 'd OK [', 'e OK F']);
    assert.ok(lines.some((line) => /^\* 1 FETCH \(FLAGS \(.*\\Seen/.test(line)));
  });

  it('may be refused, and do not end it', async () => {
    await using world = await openWorld();
    const { client, one } = world;
    const release = holdSearch(one.connection);
    client.raw('s THREAD REFERENCES UTF-8 ALL\r\n');
    assert.match((await client.run('STATUS Nothing (MESSAGES)')).join(), /^NO \[NONEXISTENT\]/);
    assert.match((await client.run('STATUS INBOX (NOTHING)')).join(), /^BAD/);
    assert.match((await client.run('FETCH 9 (UID)')).join(), /^BAD/);
    release();
    assert.match((await client.line()) ?? '', /^\* THREAD \(/);
    assert.match((await client.line()) ?? '', /^s OK/);
  });

  it('end with it when the client goes away', async () => {
    await using world = await openWorld();
    const { client, one } = world;
    const release = holdSearch(one.connection);
    client.raw('s SEARCH ALL\r\n');
    await client.ok('NOOP');
    client.close();
    release();
    await one.done;
  });

  it('are not let in by a fetch that prepares, marks as seen or uses the saved result', async () => {
    await using world = await openWorld();
    const { client, one } = world;
    for (const fetch of [
      'FETCH 1 (ENVELOPE)',
      'FETCH 1 BODY[]',
      'FETCH $ (UID)',
      'FETCH 1 (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])',
      'FETCH 1 FAST',
    ]) {
      const release = holdSearch(one.connection);
      client.raw('s SEARCH RETURN (SAVE COUNT) ALL\r\n');
      await client.ok('NOOP');
      client.raw(`f ${fetch}\r\n`);
      release();
      const tagged: string[] = [];
      for (let line = await client.line(); line !== undefined && tagged.length < 2; ) {
        if (/^[sf] /.test(line)) tagged.push(line.slice(0, 1));
        if (tagged.length < 2) line = await client.line();
      }
      assert.deepEqual(tagged, ['s', 'f'], fetch);
    }
  });
});
