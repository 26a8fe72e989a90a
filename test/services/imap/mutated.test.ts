// Fuzzing with what real sessions send, spoilt: the decoder, the grammar of every command, whole sessions, and what they may cost in memory.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import type { Logger } from '#log/logger.js';
import { CommandDecoder, type DecodeStep, defaultDecoderLimits } from '#protocol/imap/decoder.js';
import { BadCharsetError, ImapSyntaxError, MailboxNameError } from '#protocol/imap/grammar.js';
import { findCommand } from '#services/imap/command-table.js';
import { corpus, fuzzParameters, mutated } from '../../support/imap-corpus.js';
import { storages } from '../../support/imap-storages.js';
import { createImapWorld } from '../../support/imap-world.js';
import type { LineClient } from '../../support/line-client.js';

const seeds = corpus();
const isMessage = (name: string, before: string, isFirst: boolean): boolean =>
  findCommand(name.replace(/^UID /, ''))?.message?.isMessage(before, isFirst) ?? false;

/** Everything a decoder makes of the octets; message literals are taken. */
function decode(chunks: readonly Buffer[], seen: (step: DecodeStep) => void): string[] {
  const decoder = new CommandDecoder(defaultDecoderLimits, isMessage);
  const out: string[] = [];
  let message = '';
  for (const chunk of chunks) {
    decoder.push(Buffer.from(chunk));
    for (let step = decoder.next(); step.kind !== 'more'; step = decoder.next()) {
      if (step.kind === 'chunk') {
        message += step.octets.toString('latin1');
        if (step.isLast) out.push(`octets ${message}`);
        if (step.isLast) message = '';
        continue;
      }
      out.push(
        [
          step.kind,
          'tag' in step ? step.tag : '',
          'name' in step ? step.name : '',
          'reader' in step ? step.reader.text : '',
          'reason' in step ? step.reason : '',
        ].join(' '),
      );
      seen(step);
      if ((step.kind === 'message' || step.kind === 'segment') && step.literal !== undefined) decoder.acceptMessage();
      if (step.kind === 'bye') return out;
    }
  }
  return out;
}

/** Parses as the session would. */
function parse(step: DecodeStep): void {
  if (step.kind !== 'command') return;
  const isUid = step.name.startsWith('UID ');
  const row = findCommand(isUid ? step.name.slice(4) : step.name);
  if (row === undefined) return;
  try {
    row.prepare(step.reader, isUid);
  } catch (error) {
    const isExpected = error instanceof ImapSyntaxError || error instanceof MailboxNameError || error instanceof BadCharsetError;
    assert.ok(isExpected, `${step.name}: ${error instanceof Error ? error.stack : String(error)}`);
  }
}

describe('commands of real sessions, spoilt', () => {
  it('are many to begin with', () => assert.ok(seeds.length > 900, String(seeds.length)));

  it('decode to the same however they are cut, and parse or are refused', () => {
    const input = fc.tuple(fc.array(mutated(seeds), { minLength: 1, maxLength: 4 }), fc.array(fc.nat(), { maxLength: 6 }));
    fc.assert(
      fc.property(input, ([commands, cuts]) => {
        const octets = Buffer.from(commands.join(''), 'latin1');
        const whole = decode([octets], parse);
        const ignore = (): void => undefined;
        assert.deepEqual(
          decode(
            [...octets].map((octet) => Buffer.of(octet)),
            ignore,
          ),
          whole,
          'one octet at a time',
        );
        const places = [0, ...cuts.map((cut) => cut % (octets.length + 1)).sort((a, b) => a - b), octets.length];
        const pieces = places.slice(1).map((end, index) => octets.subarray(places[index], end));
        assert.deepEqual(
          decode(
            pieces.filter(({ length }) => length > 0),
            ignore,
          ),
          whole,
          'cut anywhere',
        );
      }),
      fuzzParameters(600),
    );
  });

  const settings = { imap_acl: true, imap_metadata: true, imap_urlauth_host: 'imap.example.test', imap_append_limit: 5000 };

  it('never fail inside a session, nor keep it from answering', async () => {
    const { log, failures } = listeningLog();
    const sessions = fc.array(fc.tuple(fc.boolean(), mutated(seeds)), { minLength: 1, maxLength: 25 });
    await fc.assert(
      fc.asyncProperty(sessions, async (commands) => {
        await using world = await createImapWorld({ log, settings });
        const clients = [(await world.connect()).client, (await world.connect()).client];
        for (const client of clients) {
          await client.ok('APPEND INBOX {20+}\r\nSubject: a\r\n\r\nbody\r\n');
          await client.ok('SELECT INBOX');
        }
        for (const [isFirst, command] of commands) clients[isFirst ? 0 : 1]?.raw(command);
        for (const client of clients)
          assert.ok((await isAlive(client)) || commands.some(announcesMuch), `no answer after ${JSON.stringify(commands)}`);
        assert.deepEqual(failures, [], JSON.stringify(commands));
      }),
      fuzzParameters(50),
    );
  });

  it('neither fail over Maildir, nor leave more in memory the more there are', async (test) => {
    const { log, failures } = listeningLog();
    const openUser = storages['maildir']?.(test as TestContext, { extra: 'mail_fsync = never\n' });
    assert.ok(openUser !== undefined);
    const feed = async (count: number): Promise<void> => {
      await using world = await createImapWorld({ log, settings, openUser });
      const open = async (): Promise<LineClient> => {
        const { client } = await world.connect();
        await client.ok('SELECT INBOX');
        return client;
      };
      let client = await open();
      const commands = fc.sample(mutated(seeds), count);
      for (let at = 0; at < commands.length; at += 8) {
        const some = commands.slice(at, at + 8);
        for (const command of some) client.raw(command);
        const isAnswered = (await isAlive(client, 100)) || some.some((command) => announcesMuch([true, command]));
        assert.ok(isAnswered, `no answer after ${JSON.stringify(some)}`);
        assert.deepEqual(failures, [], JSON.stringify(some));
        client.close();
        client = await open();
      }
    };
    // What is compiled and kept once is there after the first of them.
    await feed(800);
    const before = await usedMb();
    await feed(1_600);
    const grown = (await usedMb()) - before;
    assert.ok(grown < 6, `${grown.toFixed(1)} MB more`);
  });
});

/** What went wrong inside the server. */
function listeningLog(): { readonly log: Logger; readonly failures: readonly string[] } {
  const failures: string[] = [];
  const fail = (_event: string, text: string): void => void failures.push(text);
  const quiet = (): void => undefined;
  const log: Logger = { error: fail, warning: fail, info: quiet, debug: quiet, child: () => log, isDebug: false };
  return { log, failures };
}

/** A message as large as can be, which is not sent: the server waits for it, also to throw it away (RFC 7888 4). */
function announcesMuch([, command]: readonly [boolean, string]): boolean {
  return [...command.matchAll(/\{(\d+)\+\}\r?\n/g)].some(([, size]) => Number(size) > 1_000_000 && Number(size) <= 2 ** 40);
}

/**
 * Answers a NOOP, or has ended. What was left open (IDLE, a literal, a quoted string) is finished first; a compressed stream is not asked.
 * @param patienceMs how long a server that works on a disk may take before that is tried
 */
async function isAlive(client: LineClient, patienceMs = 0): Promise<boolean> {
  // Past any literal that was announced but not sent: a server skips up to 1 MB and hangs up before more.
  for (let attempt = 0; attempt < 50; attempt += 1) {
    client.raw('\r\nDONE\r\n');
    const tag = client.send('NOOP');
    for (;;) {
      const line = await nextLine(client, patienceMs);
      if (line === 'closed' || line?.startsWith(`${tag} `) === true) return true;
      if (line === undefined) break;
    }
    client.raw(`${' '.repeat(32_768)}\r\n`);
  }
  // What should be compressed and is not ends the connection, by a thread that takes its time.
  for (const deadline = Date.now() + 5_000; Date.now() < deadline; await new Promise((resolve) => setTimeout(resolve, 5))) {
    if ((await nextLine(client)) === 'closed') return true;
  }
  return false;
}

/** Undefined: nothing comes at the moment. */
async function nextLine(client: LineClient, patienceMs = 0): Promise<string | undefined> {
  const deadline = Date.now() + patienceMs;
  for (let turn = 0; turn < 30 || Date.now() < deadline; turn += 1) {
    if (client.unread.length > 0 || client.isClosed) return (await client.line()) ?? 'closed';
    await new Promise((resolve) => setImmediate(resolve));
  }
  return undefined;
}

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** MB in use after everything that can be given back was. */
async function usedMb(): Promise<number> {
  // Memory of buffers comes back in a second round.
  for (let round = 0; round < 3; round += 1) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 1_048_576;
}

describe('a client that sends without end', () => {
  const mb = 1_048_576;
  const floods: readonly (readonly [what: string, start: string, repeated: string])[] = [
    ['parentheses', 'a FETCH 1 ', '('],
    ['parentheses in SEARCH', 'a SEARCH ', '('],
    ['search keys', 'a SEARCH ', 'NOT '],
    ['a number set', 'a FETCH 1', ',3:2'],
    ['a quoted string', 'a SELECT "', 'x'],
    ['a tag', '', 'x'],
    ['fetch items', 'a FETCH 1 (', 'BODY[HEADER.FIELDS (A)] '],
    ['flags', 'a STORE 1 +FLAGS (', 'x '],
    ['METADATA entries', 'a SETMETADATA "" (', '/private/x "y" '],
    ['NOTIFY events', 'a NOTIFY SET ', '(SELECTED (MessageNew)) '],
    ['literals of one octet', 'a SEARCH ', 'TEXT {1+}\r\nx '],
    ['a literal that was not waited for', 'a SELECT {4294967295+}\r\n', 'x'],
    ['a message over the limit', 'a APPEND INBOX {900000000+}\r\n', 'x'],
    ['empty lines', '', '\r\n'],
    ['commands that nobody reads the answers of', '', 'a CAPABILITY\r\n'],
    ['bad commands', '', 'a NONSENSE\r\n'],
  ];
  for (const [what, start, repeated] of floods) {
    it(`costs bounded memory: ${what}`, async () => {
      await using world = await createImapWorld({ settings: { imap_append_limit: mb, imap_metadata: true } });
      const { client, connection } = await world.connect();
      await client.ok('APPEND INBOX {1+}\r\nx');
      await client.ok('SELECT INBOX');
      client.stream.pause();
      const block = Buffer.from(repeated.repeat(Math.ceil(65_536 / repeated.length)), 'latin1');
      const before = await usedMb();
      client.raw(start);
      let sent = 0;
      // A server that stops reading, or hangs up, is fine, too.
      while (sent < 12 * mb && !client.stream.destroyed && !client.stream.writableNeedDrain) {
        client.stream.write(block);
        sent += block.length;
        for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      }
      const grown = (await usedMb()) - before - client.stream.writableLength / mb - client.stream.readableLength / mb;
      assert.ok(grown < 6, `${grown.toFixed(1)} MB more after ${sent} octets`);
      assert.ok(connection !== undefined);
      client.stream.resume();
    });
  }
});
