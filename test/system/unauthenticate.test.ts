// UNAUTHENTICATE (RFC 8437): the connection stays, and the next user logs in on it. The real server, with the ways a connection can have come to
// its mail process: moved, relayed for TLS, accepted by it.
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { deflateRawSync, inflateRawSync, constants as zlib } from 'node:zlib';
import { askMaster } from '#ipc/master-client.js';
import { freePort } from '../support/free-port.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { type RunningRoost, rootMailUid, startRoost } from '../support/running-roost.js';

const isRoot = process.getuid?.() === 0;
const otherUid = 20_002;

interface Way {
  readonly name: string;
  readonly pools?: Readonly<Record<string, Readonly<Record<string, string | number>>>>;
  readonly isDirect?: boolean;
}

const ways: readonly Way[] = [
  { name: 'with login processes for many clients', pools: { 'imap-login': { service_count: 0, client_limit: 100 } } },
  { name: 'with a login process for each client', pools: { 'imap-login': { service_count: 1 }, imap: { service_count: 1 } } },
  { name: 'in direct mode', isDirect: true },
];

function secure(socket: Socket): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const stream = connectTls({ socket, rejectUnauthorized: false }, () => resolve(stream));
    stream.once('error', reject);
  });
}

/** The lines up to the one with this tag, that one without its tag. */
async function replyTo(client: LineClient, tag: string): Promise<string[]> {
  const lines: string[] = [];
  for (;;) {
    const line = await client.line();
    assert.notEqual(line, undefined, `the connection ended before the reply to ${tag}`);
    if (line?.startsWith(`${tag} `)) return [...lines, line.slice(tag.length + 1)];
    lines.push(line ?? '');
  }
}

async function append(client: LineClient, subject: string): Promise<void> {
  const text = `Subject: ${subject}\r\n\r\nb\r\n`;
  client.raw(`x APPEND INBOX {${text.length}+}\r\n${text}\r\n`);
  assert.match((await replyTo(client, 'x')).at(-1) ?? '', /^OK/);
}

for (const { name, pools, isDirect } of ways) {
  describe(`UNAUTHENTICATE ${name}`, () => {
    let roost: RunningRoost;
    let plainPort = 0;
    let tlsPort = 0;
    before(async () => {
      const direct = { imap: freePort(), imaps: freePort() };
      const listener = (kind: string, port: number, ssl: string): string => `  inet_listener ${kind} {\n    port = ${port}\n${ssl}  }\n`;
      const extra = `service imap {\n${listener('imap', direct.imap, '')}${listener('imaps', direct.imaps, '    ssl = yes\n')}}\n`;
      roost = await startRoost({
        protocols: ['imap'],
        pools: pools ?? {},
        settings: { mail_max_userip_connections: '1' },
        ...(isDirect ? { extra } : {}),
      });
      plainPort = isDirect ? direct.imap : roost.ports.imap;
      tlsPort = isDirect ? direct.imaps : roost.ports.imaps;
    });
    after(() => roost[Symbol.asyncDispose]());
    // A session counts until its process has noticed the end of the connection, which comes after the reply to LOGOUT.
    beforeEach(async () => {
      const endMs = Date.now() + patienceMs;
      while (/alice|bob/.test((await roost.admin(['who'])).stdout)) {
        assert.ok(Date.now() < endMs, 'a session stays');
        await sleep(20);
      }
    });

    const streams: readonly (readonly [name: string, open: () => Promise<LineClient>])[] = [
      ['a plain connection', () => greeted(connectTcp(plainPort, '127.0.0.1'))],
      ['TLS', () => greeted(connectTls({ port: tlsPort, host: '127.0.0.1', rejectUnauthorized: false }))],
      [
        'STARTTLS',
        async () => {
          const socket = connectTcp(plainPort, '127.0.0.1');
          socket.write('s STARTTLS\r\n');
          let heard = '';
          for await (const [chunk] of onData(socket)) {
            heard += chunk.toString('latin1');
            if (heard.includes('s OK')) break;
          }
          return new LineClient(await secure(socket));
        },
      ],
    ];

    for (const [kind, open] of streams) {
      it(`lets another user log in over ${kind}`, async () => {
        const client = await open();
        const [, login = ''] = /^OK \[CAPABILITY ([^\]]*)\]/.exec((await client.run('LOGIN alice secret')).at(-1) ?? '') ?? [];
        assert.ok(login.split(' ').includes('UNAUTHENTICATE'), login);
        await append(client, 'of alice');
        await client.ok('ENABLE QRESYNC');
        await client.ok('SELECT INBOX');
        assert.deepEqual(await client.ok('UNAUTHENTICATE'), []);
        assert.match((await client.run('SELECT INBOX')).at(-1) ?? '', /^BAD/);
        const capabilities = (await client.ok('CAPABILITY')).join();
        assert.match(capabilities, /AUTH=PLAIN/);
        assert.equal(/STARTTLS/.test(capabilities), kind === 'a plain connection');
        await client.ok('LOGIN bob secret');
        assert.match((await client.run('FETCH 1 FLAGS')).at(-1) ?? '', /^BAD/);
        assert.match((await client.ok('STATUS INBOX (MESSAGES)')).join(), /\(MESSAGES 0\)/);
        assert.match((await client.ok('ENABLE QRESYNC')).join(), /QRESYNC/);
        await client.ok('UNAUTHENTICATE');
        await client.ok('LOGIN alice secret');
        assert.match((await client.ok('STATUS INBOX (MESSAGES)')).join(), /\(MESSAGES [1-9]/);
        await client.ok('LOGOUT');
        client.close();
      });

      it(`takes what was sent ahead over ${kind}`, async () => {
        const client = await open();
        client.raw(
          '1 LOGIN alice secret\r\n2 SELECT INBOX\r\n3 UNAUTHENTICATE\r\n4 AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ=\r\n5 NAMESPACE\r\n6 LOGOUT\r\n',
        );
        for (const tag of ['1', '2', '3', '4', '5', '6']) assert.match((await replyTo(client, tag)).at(-1) ?? '', /^OK/, tag);
        client.close();
      });

      it(`ends the compression over ${kind}`, async () => {
        const client = await open();
        await client.ok('LOGIN alice secret');
        const { stream } = client;
        stream.removeAllListeners('data');
        for (const isFinal of [false, true]) {
          stream.write('c COMPRESS DEFLATE\r\n');
          const chunks = onData(stream);
          let heard = Buffer.alloc(0);
          const until = async (mark: string): Promise<void> => {
            while (!heard.includes(mark))
              heard = Buffer.concat([heard, (await chunks.next()).value?.[0] ?? assert.fail('the connection ended')]);
          };
          await until('c OK Begin compression');
          await until('\r\n');
          heard = Buffer.alloc(0);
          const finishFlush = isFinal ? zlib.Z_FINISH : zlib.Z_SYNC_FLUSH;
          const compressed = deflateRawSync('1 NOOP\r\n2 UNAUTHENTICATE\r\n', { finishFlush });
          stream.write(Buffer.concat([compressed, Buffer.from('3 LOGIN bob secret\r\n4 LOGIN no no\r\n')]));
          await until('4 BAD');
          const end = heard.indexOf('3 OK');
          const text = inflateRawSync(heard.subarray(0, end)).toString();
          assert.match(text, /^1 OK [^\r]*\r\n2 OK Unauthenticated [^\r]*\r\n$/);
          assert.equal(/COMPRESS=DEFLATE/.test(heard.subarray(end).toString('latin1')), true);
          await chunks.return?.(undefined);
        }
        client.close();
      });
    }

    it('needs no mailbox and takes no arguments', async () => {
      const client = await greeted(connectTcp(plainPort, '127.0.0.1'));
      await client.ok('LOGIN alice secret');
      assert.match((await client.run('UNAUTHENTICATE now')).at(-1) ?? '', /^BAD/);
      await client.ok('UNAUTHENTICATE');
      assert.match((await client.run('UNAUTHENTICATE')).at(-1) ?? '', /^BAD/);
      client.close();
    });

    it('ends the session for who counts sessions', async () => {
      const client = await greeted(connectTcp(plainPort, '127.0.0.1'));
      await client.ok('LOGIN alice secret');
      await client.ok('UNAUTHENTICATE');
      const who = await roost.admin(['who', 'alice']);
      assert.doesNotMatch(who.stdout, /alice/);
      client.close();
    });

    it('upgrades to TLS afterwards', async () => {
      const socket = connectTcp(plainPort, '127.0.0.1');
      const client = await greeted(socket);
      await client.ok('LOGIN alice secret');
      await client.ok('UNAUTHENTICATE');
      await client.ok('STARTTLS');
      for (const event of ['data', 'end', 'close', 'error']) socket.removeAllListeners(event);
      const secured = new LineClient(await secure(socket));
      await secured.ok('LOGIN bob secret');
      await secured.ok('UNAUTHENTICATE');
      await secured.ok('LOGIN alice secret');
      await secured.ok('LOGOUT');
      secured.close();
    });
  });
}

describe('UNAUTHENTICATE', () => {
  it('can be turned off', async () => {
    await using roost = await startRoost({ protocols: ['imap'], settings: { imap_unauthenticate: 'no' } });
    const client = await greeted(connectTcp(roost.ports.imap, '127.0.0.1'));
    assert.doesNotMatch((await client.run('LOGIN alice secret')).join(), /UNAUTHENTICATE/);
    assert.doesNotMatch((await client.ok('CAPABILITY')).join(), /UNAUTHENTICATE/);
    assert.match((await client.run('UNAUTHENTICATE')).at(-1) ?? '', /^BAD/);
    await client.ok('NOOP');
    client.close();
  });
});

describe('UNAUTHENTICATE after hibernation', () => {
  it('goes back to where the connection came from', async () => {
    await using roost = await startRoost({ protocols: ['imap'], settings: { imap_hibernate_timeout: '100 ms', log_debug: 'category=*' } });
    for (const stream of [
      connectTcp(roost.ports.imap, '127.0.0.1'),
      connectTls({ port: roost.ports.imaps, host: '127.0.0.1', rejectUnauthorized: false }),
    ]) {
      const client = await greeted(stream);
      await client.ok('LOGIN alice secret');
      const tag = client.send('IDLE');
      assert.equal(await client.line(), '+ idling');
      await until(async () => (await clientsOf(roost, 'imap-hibernate')) === 1);
      client.raw('DONE\r\n');
      assert.match((await replyTo(client, tag)).at(-1) ?? '', /^OK/);
      await client.ok('UNAUTHENTICATE');
      await client.ok('LOGIN bob secret');
      await client.ok('LOGOUT');
      client.close();
      await until(async () => (await clientsOf(roost, 'imap')) === 0);
    }
  });
});

describe('UNAUTHENTICATE between users with uids of their own', { skip: !isRoot }, () => {
  it('moves the connection to the process of the other user', async () => {
    const users = {
      anna: `{PLAIN}secret:${rootMailUid}:${rootMailUid}::::`,
      otto: `{PLAIN}secret:${otherUid}:${otherUid}::::`,
    };
    const folder = mkdtempSync(join(tmpdir(), 'roost-unauthenticate-'));
    chmodSync(folder, 0o1777);
    await using roost = await startRoost({ protocols: ['imap'], users, mailLocation: `maildir:${folder}/%u` });
    const client = await greeted(connectTcp(roost.ports.imap, '127.0.0.1'));
    try {
      for (const user of ['anna', 'otto', 'anna']) {
        await client.ok(`LOGIN ${user} secret`);
        await client.ok('UNAUTHENTICATE');
      }
      const pidOf = async (user: string): Promise<string | undefined> =>
        /<(\d+)>/.exec(await roost.logged(new RegExp(`imap\\(${user}\\)<\\d+>.*: Unauthenticated in=`)))?.[1];
      assert.notEqual(await pidOf('anna'), await pidOf('otto'));
    } finally {
      client.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

async function clientsOf(roost: RunningRoost, service: string): Promise<number> {
  const reply = await askMaster(roost.baseDir, { command: 'process-status', services: [service] }, { timeoutMs: patienceMs });
  return reply.ok ? (reply.processes ?? []).reduce((sum, { clients }) => sum + clients, 0) : -1;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + patienceMs; !(await condition()); await new Promise((resolve) => setTimeout(resolve, 20))) {
    assert.ok(Date.now() < deadline, `not within ${patienceMs} ms`);
  }
}

async function greeted(stream: Duplex): Promise<LineClient> {
  const client = new LineClient(stream);
  await client.line();
  return client;
}

async function* onData(stream: Duplex): AsyncGenerator<[Buffer], undefined, undefined> {
  const waiting: Buffer[] = [];
  let wake = (): void => undefined;
  let isOver = false;
  const onChunk = (chunk: Buffer): void => {
    waiting.push(chunk);
    wake();
  };
  const onEnd = (): void => {
    isOver = true;
    wake();
  };
  stream.on('data', onChunk).on('close', onEnd);
  try {
    for (;;) {
      const chunk = waiting.shift();
      if (chunk !== undefined) yield [chunk];
      else if (isOver) return undefined;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    stream.off('data', onChunk).off('close', onEnd);
  }
}
