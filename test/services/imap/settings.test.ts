// Settings of the imap section, each by what it does.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { LogFields, Logger } from '#log/logger.js';
import type { ImapSettings } from '#services/imap/settings.js';
import { StorageError } from '#storage/errors.js';
import { createImapWorld } from '../../support/imap-world.js';

const append = (text: string): string => `APPEND INBOX {${text.length}+}\r\n${text}`;
const message = 'Subject: a\r\n\r\nbody\r\n';

function recorder(lines: string[]): Logger {
  const log = (_event: string, text: string, _fields?: LogFields): void => void lines.push(text);
  const logger: Logger = { error: log, warning: log, info: log, debug: log, child: () => logger, isDebug: false };
  return logger;
}

describe('imap_logout_format', () => {
  it('knows all counters, and leaves alone what it does not know', async () => {
    const lines: string[] = [];
    const format =
      'i=%i input=%{input} o=%o output=%{output} d=%{deleted} e=%{expunged} t=%{trashed} a=%{appended} hc=%{fetch_hdr_count} hb=%{fetch_hdr_bytes} bc=%{fetch_body_count} bb=%{fetch_body_bytes} %% %{nothing}';
    await using world = await createImapWorld({ log: recorder(lines), settings: { imap_logout_format: format } });
    const { client, done } = await world.connect();
    await client.ok('CREATE Trash (USE (\\Trash))');
    await client.ok(append(message));
    await client.ok(append(message));
    await client.ok('SELECT INBOX');
    await client.ok('FETCH 1 (BODY.PEEK[] BODY.PEEK[HEADER])');
    await client.ok('COPY 1 Trash');
    await client.ok('STORE 1:2 +FLAGS (\\Deleted)');
    await client.ok('EXPUNGE');
    await client.ok('LOGOUT');
    await done;
    const match = /i=(\d+) input=(\d+) o=(\d+) output=(\d+) (.*)$/.exec(lines.at(-1) ?? '');
    assert.ok(match !== null, lines.at(-1));
    assert.equal(match[1], match[2]);
    assert.equal(match[3], match[4]);
    assert.ok(Number(match[1]) > 2 * message.length && Number(match[3]) > message.length);
    assert.equal(match[5], `d=2 e=2 t=1 a=2 hc=1 hb=14 bc=1 bb=${message.length} % %{nothing}`);
  });
});

describe('imap_id_send and imap_id_log', () => {
  for (const [send, expected] of [
    ['name *', '* ID ("name" "Roost")'],
    ['', '* ID NIL'],
    ['name "My Mail" support-url x', '* ID ("name" "My Mail" "support-url" "x")'],
  ] as const) {
    it(`answers ${expected} for ${JSON.stringify(send)}`, async () => {
      await using world = await createImapWorld({ settings: { imap_id_send: send } });
      assert.deepEqual(await (await world.connect()).client.ok('ID NIL'), [expected]);
    });
  }

  for (const [wanted, expected] of [
    ['', undefined],
    ['name', 'ID sent: name=Mail'],
    ['*', 'ID sent: name=Mail, version=1'],
  ] as const) {
    it(`logs ${String(expected)} for ${JSON.stringify(wanted)}`, async () => {
      const lines: string[] = [];
      await using world = await createImapWorld({ log: recorder(lines), settings: { imap_id_log: wanted } });
      await (await world.connect()).client.ok('ID ("name" "Mail" "version" "1")');
      assert.deepEqual(lines, expected === undefined ? [] : [expected]);
    });
  }
});

describe('imap_fetch_failure', () => {
  for (const [setting, bodies, isClosed] of [
    ['disconnect-immediately', 1, true],
    ['disconnect-after', 2, true],
    ['no-after', 2, false],
  ] as const satisfies readonly (readonly [ImapSettings['imap_fetch_failure'], number, boolean])[]) {
    it(`${setting}: ${bodies} of the readable messages, ${isClosed ? 'then the end' : 'and the session goes on'}`, async () => {
      await using world = await createImapWorld({ settings: { imap_fetch_failure: setting } });
      const { client, connection } = await world.connect();
      for (let count = 0; count < 3; count += 1) await client.ok(append(message));
      await client.ok('SELECT INBOX');
      const { view } = connection.session;
      const openMessage = view.openMessage.bind(view);
      Object.defineProperty(view, 'openMessage', {
        value: async (...args: Parameters<typeof openMessage>) => {
          if (args[0] === 2) throw new StorageError('unavailable', 'broken disk');
          return openMessage(...args);
        },
      });
      client.raw('f FETCH 1:3 BODY.PEEK[]\r\n');
      const lines: string[] = [];
      for (let line = await client.line(); line !== undefined; line = await client.line()) {
        lines.push(line);
        if (line.startsWith('f ')) break;
      }
      assert.match(lines.at(-1) ?? '', /^f NO \[SERVERBUG\]/);
      assert.equal(lines.filter((line) => line.includes('BODY[]')).length, bodies);
      if (isClosed) {
        assert.match((await client.line()) ?? '', /^\* BYE FETCH failed/);
        assert.equal(await client.line(), undefined);
      } else await client.ok('NOOP');
    });
  }
});

describe('rawlog_dir', () => {
  it('writes what is said, but no password, and nothing where the folder is not there', async (test) => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-rawlog-'));
    test.after(() => rmSync(folder, { recursive: true, force: true }));
    for (const path of [folder, join(folder, 'missing')]) {
      await using world = await createImapWorld({ settings: { rawlog_dir: path } });
      const { client, done } = await world.connect();
      await client.ok('NOOP');
      await client.run('LOGIN bob geheim');
      await client.ok('LOGOUT');
      await done;
    }
    const read = (ending: string): string => {
      const names = readdirSync(folder).filter((name) => name.endsWith(ending));
      assert.equal(names.length, 1);
      return readFileSync(join(folder, names[0] ?? ''), 'latin1');
    };
    // The file is written behind the session.
    while (readdirSync(folder).length < 2 || !read('.out').includes('BYE')) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.match(read('.in'), /NOOP\r\n/);
    assert.doesNotMatch(read('.in'), /geheim/);
  });
});

describe('imap_client_workarounds', () => {
  it('tb-lsub-flags shows \\Noselect of parents that hold no mail', async () => {
    for (const [workarounds, expected] of [
      [[], '* LSUB () "/" Box'],
      [['tb-lsub-flags'], '* LSUB (\\Noselect) "/" Box'],
    ] as const) {
      await using world = await createImapWorld({ settings: { imap_client_workarounds: workarounds } });
      const { client } = await world.connect();
      await client.ok('CREATE Box/inner');
      await client.ok('CREATE Box');
      await client.ok('SUBSCRIBE Box');
      await client.ok('DELETE Box');
      assert.deepEqual(await client.ok('LSUB "" Box'), [expected]);
    }
  });
});

describe('imap_metadata, imap_acl, imap_compress, imap_rev2, imap_urlauth_host', () => {
  for (const [settings, name, isOffered] of [
    [{ imap_metadata: true }, 'METADATA', true],
    [{}, 'METADATA', false],
    [{ imap_acl: true }, 'ACL', true],
    [{}, 'ACL', false],
    [{}, 'COMPRESS=DEFLATE', true],
    [{ imap_compress: false }, 'COMPRESS=DEFLATE', false],
    [{}, 'IMAP4rev2', true],
    [{ imap_rev2: false }, 'IMAP4rev2', false],
    [{ imap_urlauth_host: '*' }, 'URLAUTH', true],
    [{}, 'URLAUTH', false],
  ] as const) {
    it(`${JSON.stringify(settings)}: ${name} is ${isOffered ? '' : 'not '}offered`, async () => {
      await using world = await createImapWorld({ settings });
      const [line = ''] = await (await world.connect()).client.ok('CAPABILITY');
      assert.equal(line.split(' ').includes(name), isOffered);
    });
  }
});
