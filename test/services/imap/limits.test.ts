// Each limit of a session: what is just inside works, one more is refused, and the session goes on.
import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { describe, it, type TestContext } from 'node:test';
import { ClientStream } from '#services/imap/client-stream.js';
import { makeStore } from '../../storage/support/store-world.js';
import { mailConfig } from '../../support/imap-storages.js';
import { createImapWorld } from '../../support/imap-world.js';
import type { LineClient } from '../../support/line-client.js';

const append = (text: string): string => `APPEND INBOX {${text.length}+}\r\n${text}`;
const kb = 1024;

async function withClient(
  settings: NonNullable<Parameters<typeof createImapWorld>[0]>['settings'],
  work: (client: LineClient) => Promise<void>,
): Promise<void> {
  await using world = await createImapWorld({ ...(settings !== undefined && { settings }) });
  const { client } = await world.connect();
  await work(client);
}

/** Memory that stays after the work, octets. */
async function growth(work: () => Promise<void>): Promise<number> {
  const used = (): number => {
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const before = used();
  await work();
  return used() - before;
}

const large = { imap_max_line_length: 4_194_304 };
const nested = (depth: number): string => `SEARCH ${'('.repeat(depth)}ALL${')'.repeat(depth)}`;
const keys = (count: number): string => `SEARCH ${'ALL '.repeat(count - 1)}ALL`;
const ranges = (count: number): string => `UID SEARCH UID ${Array.from({ length: count }, (_, index) => 2 * index + 1).join(',')}`;
const flags = (count: number): string => `STORE 1 FLAGS.SILENT (${Array.from({ length: count }, () => '\\Seen').join(' ')})`;
const denied = (depth: number): string => `SEARCH ${'NOT '.repeat(depth)}ALL`;
const section = (depth: number): string => `FETCH 1 BODY.PEEK[${Array.from({ length: depth }, () => 1).join('.')}]`;
const path = (octets: number): string => `${'abcdefg/'.repeat(octets / 8 + 1).slice(0, octets - 1)}z`;
const literals = (count: number): string => `ID (${Array.from({ length: count / 2 }, () => '{1+}\r\na {1+}\r\nb').join(' ')})`;

describe('IMAP limits, at and past each', () => {
  for (const [what, inside, past, reply] of [
    ['parentheses inside each other', nested(50), nested(51), /^BAD .*Too many '\('/],
    ['search keys', keys(20_000), keys(20_001), /^BAD .*Too many search keys/],
    ['ranges of a set', ranges(20_000), ranges(20_001), /^BAD .*Invalid messageset/],
    ['items of a list', flags(10_000), flags(10_001), /^BAD .*Too many arguments in a list/],
    ['search keys inside each other', denied(1_999), denied(2_000), /^BAD .*nested too deeply/],
    ['part numbers of a section', section(100), section(101), /^BAD .*Section path too deep/],
    ['octets of a level of a mailbox name', `CREATE ${'x'.repeat(255)}`, `CREATE ${'y'.repeat(256)}`, /^NO \[CANNOT\] .*too long/],
    ['octets of a mailbox name', `CREATE ${path(4_096)}`, `CREATE ${path(4_097)}`, /^NO \[CANNOT\] .*too long/],
  ] as const) {
    it(what, async () => {
      await withClient(large, async (client) => {
        await client.ok(append('Subject: a\r\n\r\nx\r\n'));
        await client.ok('SELECT INBOX');
        await client.ok(inside);
        assert.match((await client.run(past)).join(), reply);
        await client.ok('NOOP');
      });
    });
  }

  it('literals of one command', async () => {
    await withClient({}, async (client) => {
      // Refused or not for their number of fields: they were read.
      assert.doesNotMatch((await client.run(literals(1_000))).join(), /Too many literals/);
      assert.match((await client.run(literals(1_002))).join(), /^BAD .*Too many literals/);
      await client.ok('NOOP');
    });
  });

  it('the command line', async () => {
    await withClient({ imap_max_line_length: 1_000 }, async (client) => {
      // `t1 NOOP` and blanks: 1,000 octets with the tag.
      const tag = 'x';
      client.raw(`${tag} NOOP${' '.repeat(1_000 - 6)}\r\n`);
      assert.match((await client.line()) ?? '', /^x OK/);
      client.raw(`${tag} NOOP${' '.repeat(1_000 - 5)}\r\n`);
      assert.match((await client.line()) ?? '', /^x BAD .*Too long argument/);
      await client.ok('NOOP');
    });
  });

  it('a literal of a command that is no message', async () => {
    await withClient({ imap_max_line_length: 1_000 }, async (client) => {
      await client.ok(`LIST "" {1000+}\r\n${'x'.repeat(1_000)}`);
      assert.match((await client.run(`LIST "" {1001+}\r\n${'x'.repeat(1_001)}`)).join(), /^BAD \[TOOBIG\]/);
      await client.ok('NOOP');
    });
  });

  it('messages of one APPEND', async () => {
    await withClient({}, async (client) => {
      const many = (count: number): string => `APPEND INBOX${' {1+}\r\nx'.repeat(count)}`;
      assert.match((await client.run(many(1_000))).join(), /^OK \[APPENDUID/);
      assert.match((await client.run(many(1_001))).join(), /^NO \[LIMIT\]/);
      assert.match((await client.ok('STATUS INBOX (MESSAGES)')).join(), /MESSAGES 1000/);
    });
  });

  it('octets of a keyword, as mail_max_keyword_length says', async (test) => {
    const store = makeStore(test as TestContext, `${mailConfig}mail_max_keyword_length = 7\n`);
    await using world = await createImapWorld({ openUser: () => store.open() });
    const { client } = await world.connect();
    await client.ok(append('Subject: a\r\n\r\nx\r\n'));
    await client.ok('SELECT INBOX');
    await client.ok('STORE 1 +FLAGS.SILENT ($seven7)');
    assert.match((await client.run('STORE 1 +FLAGS.SILENT ($eight88)')).at(-1) ?? '', /^NO \[LIMIT\]/);
    assert.match((await client.ok('FETCH 1 FLAGS')).join(), /\$seven7\)/);
  });

  it('LITERAL-: 4,096 octets without waiting', async () => {
    await withClient({ imap_literal_minus: true }, async (client) => {
      await client.ok(append(`Subject: x\r\n\r\n${'x'.repeat(4_096 - 14)}`));
      assert.match((await client.run(append('x'.repeat(4_097)))).join(), /^BAD \[TOOBIG\]/);
      await client.ok('NOOP');
    });
  });
});

describe('A client that does not read', () => {
  it('is waited for five minutes and no longer', async (test) => {
    const { timers } = (test as TestContext).mock;
    timers.enable({ apis: ['setTimeout'] });
    await using world = await createImapWorld();
    const { client, done } = await world.connect();
    await client.ok(append('x'.repeat(1_000_000)));
    await client.ok('SELECT INBOX');
    let isOver = false;
    void done.then(() => {
      isOver = true;
    });
    const turns = async (): Promise<void> => {
      for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    };
    client.stream.pause();
    for (let count = 0; count < 20; count += 1) client.send('FETCH 1 BODY.PEEK[]');
    await turns();
    timers.tick(5 * 60_000 - 1);
    await turns();
    assert.equal(isOver, false);
    timers.tick(1);
    await done;
  });
});

describe('IMAP memory', () => {
  it('a million parentheses, a SEARCH of 100,000 keys and a huge announced literal keep nothing', async () => {
    await withClient({}, async (client) => {
      await client.ok('SELECT INBOX');
      const kept = await growth(async () => {
        for (let round = 0; round < 5; round += 1) {
          client.raw(`a SEARCH ${'('.repeat(1_000_000)}\r\n`);
          assert.match((await client.line()) ?? '', /^a BAD .*Too long argument/);
          client.raw(`b SEARCH ${'ALL '.repeat(100_000)}ALL\r\n`);
          assert.match((await client.line()) ?? '', /^b BAD .*Too long argument/);
          assert.match((await client.run('LIST "" {4294967295}')).join(), /^BAD \[TOOBIG\]/);
        }
      });
      // Not less than what was sent can be garbage that nobody has collected: 7 MB in all, text of it twice.
      assert.ok(kept < 48 * kb * kb, `${kept} octets`);
    });
  });

  it('a SEARCH of 100,000 keys within the line limit is refused at the limit of keys', async () => {
    await withClient(large, async (client) => {
      await client.ok('SELECT INBOX');
      assert.match((await client.run(keys(100_000))).join(), /^BAD .*Too many search keys/);
      await client.ok('NOOP');
    });
  });

  it('commands that wait while one runs are not read without end', async () => {
    let sent = 0;
    const source = new Duplex({
      read() {
        // As fast as it is read.
        sent += 16_384;
        this.push(Buffer.alloc(16_384, 'x'));
      },
      write(_chunk, _encoding, done) {
        done();
      },
    });
    const stream = new ClientStream(source, { idleTimeoutMs: 60_000, stallTimeoutMs: 60_000, onIdle: () => undefined });
    for (let turn = 0; turn < 200 && !source.isPaused(); turn += 1) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(stream.bytesRead >= 262_144 && stream.bytesRead < 600 * kb, `${stream.bytesRead}`);
    assert.ok(source.isPaused());
    while (stream.take() !== undefined && source.isPaused()) {
      // Until there is room again.
    }
    assert.ok(!source.isPaused());
    stream.destroy();
    assert.ok(sent > 0);
  });
});
