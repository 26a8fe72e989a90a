// The benchmark's load client in C++ (test/bench/load/native), against a server that answers what each test wants. What the client in TypeScript sends is
// the standard for it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import type { Endpoint } from '../bench/load/line-connection.js';
import { compile } from '../bench/load/native-build.js';
import { heldPlans, loginPlans, request, requestWithLiteral, type WorkerPlan } from '../bench/load/plan.js';
import { certificate } from '../bench/peers/certificate.js';
import type { Peer } from '../bench/peers/peer.js';
import { startStub } from '../bench/peers/stub.js';
import { failure, listening, longMs, native, password, play, script, skip } from './load-clients.js';

// Where Python or the openssl program is installed, it is.
const tlsSkip = skip || (hasOpenSsl() ? false : 'no libcrypto.so.3 here');
const userOf = (worker: number): string => `user${worker}`;

/** What the server says to a command; undefined: nothing. */
type Answer = (tag: string, text: string, socket: Socket) => string | undefined;

interface World extends AsyncDisposable {
  readonly endpoint: Endpoint;
  /** Commands of all connections, without tags, in the order in which they came. */
  readonly commands: string[];
  /** Everything each connection has sent. */
  readonly sent: string[];
}

const okay: Answer = (tag) => `${tag} OK done\r\n`;

async function serve(answer: Answer = okay, { greeting = '* OK ready\r\n', replyTimeoutMs = longMs } = {}): Promise<World> {
  const commands: string[] = [];
  const sent: string[] = [];
  const server = createServer((socket) => {
    const own = sent.push('') - 1;
    let pending = '';
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.write(greeting);
    socket.on('data', (chunk) => {
      sent[own] += chunk.toString('latin1');
      pending += chunk.toString('latin1');
      for (let end = pending.indexOf('\r\n'); end >= 0; end = pending.indexOf('\r\n')) {
        const [, tag, text] = /^(t\d+) (.*)$/.exec(pending.slice(0, end)) ?? [];
        pending = pending.slice(end + 2);
        if (tag === undefined || text === undefined) continue;
        commands.push(text);
        const said = answer(tag, text, socket);
        if (said !== undefined) socket.write(said);
      }
    });
  });
  const { endpoint, [Symbol.asyncDispose]: close } = await listening(server, false);
  return { endpoint: { ...endpoint, replyTimeoutMs }, commands, sent, [Symbol.asyncDispose]: close };
}

const wants = (text: string, said: string): Answer => {
  return (tag, command) => (command.startsWith(text) ? `${tag} ${said}\r\n` : `${tag} OK done\r\n`);
};

describe('the load client in C++', { skip }, () => {
  it('logs in and out as often as it says, each worker as its user', async () => {
    await using world = await serve();
    const played = await play(await native(world.endpoint, loginPlans(4, userOf)), 50);
    assert.equal(played.sessions.length, 50);
    assert.equal(played.commands.length, 100);
    assert.equal(world.sent.length, 50);
    assert.equal(world.commands.filter((text) => text === 'LOGOUT').length, 50);
    const users = new Map<string, number>();
    for (const text of world.commands.filter((each) => each.startsWith('LOGIN'))) users.set(text, (users.get(text) ?? 0) + 1);
    assert.deepEqual([...users.keys()].sort(), [0, 1, 2, 3].map((worker) => `LOGIN user${worker} ${password}`).sort());
    assert.ok(played.seconds > 0 && played.clientCpuMs > 0);
    assert.ok(played.sessions.every((ms) => ms > 0 && ms < longMs));
    // A session is its commands, and what lies between them.
    assert.ok(sum(played.sessions) >= sum(played.commands));
  });

  it('begins nothing after its time', async () => {
    await using world = await serve();
    const played = await play(await native(world.endpoint, loginPlans(2, userOf)), 1_000_000, 50);
    assert.ok(played.seconds >= 0.05);
    assert.equal(played.sessions.length, world.sent.length);
  });

  const message = Buffer.from(`Subject: x\r\n\r\n${'y'.repeat(100_000)}\r\n`);
  const plans: Readonly<Record<string, readonly WorkerPlan[]>> = {
    sessions: [
      {
        kind: 'sessions',
        user: 'user0',
        sessions: [
          [request('SELECT INBOX'), request('FETCH 1:* (FLAGS)')],
          [],
          [requestWithLiteral('APPEND INBOX', message), request('NOOP'), request('NOOP')],
        ],
      },
    ],
    held: heldPlans(1, userOf, [request('NOOP'), requestWithLiteral('APPEND INBOX', message), request('CHECK')]),
  };
  for (const [kind, plan] of Object.entries(plans)) {
    it(`sends the same octets as the client in TypeScript: ${kind}`, async () => {
      await using one = await serve();
      await using other = await serve();
      const [ours, theirs] = [await play(await native(one.endpoint, plan), 7), await play(await script(other.endpoint, plan), 7)];
      assert.ok(one.sent.join('').includes('yyy'));
      assert.deepEqual(one.sent, other.sent);
      assert.deepEqual(
        [ours.sessions.length, ours.commands.length, ours.commands.length > 0],
        [theirs.sessions.length, theirs.commands.length, true],
      );
    });
  }

  it('logs held workers in before the first load and out after the last', async () => {
    await using world = await serve();
    const client = await native(world.endpoint, heldPlans(3, userOf, [request('NOOP')]));
    try {
      assert.deepEqual(world.commands.toSorted(), [0, 1, 2].map((worker) => `LOGIN user${worker} ${password}`).toSorted());
      assert.equal((await client.run(longMs, 20)).commands.length, 20);
      const { sessions, commands } = await client.run(longMs, 10);
      assert.deepEqual([sessions.length, commands.length], [0, 10]);
    } finally {
      await client.end();
    }
    assert.equal(world.commands.filter((text) => text === 'NOOP').length, 30);
    assert.equal(world.commands.filter((text) => text === 'LOGOUT').length, 3);
  });

  it('takes a reply to its end, however it is cut', async () => {
    const reply = `* 1 FETCH (BODY[] {9}\r\nt9 OK no\r\n)\r\n* ${'5 '.repeat(5_000)}\r\n`;
    await using world = await serve((tag, text, socket) => {
      if (text !== 'FETCH') return okay(tag, text, socket);
      const whole = `${reply}${tag} OK done\r\n`;
      let at = 0;
      const next = (): void => {
        if (at >= whole.length) return;
        const size = at < 60 || at > whole.length - 20 ? 1 : 997;
        socket.write(whole.slice(at, at + size), () => setImmediate(next));
        at += size;
      };
      next();
      return undefined;
    });
    const client = await native(world.endpoint, heldPlans(1, userOf, [request('FETCH'), request('NOOP')]));
    assert.equal((await play(client, 4)).commands.length, 4);
    assert.deepEqual(world.commands.slice(1), ['FETCH', 'NOOP', 'FETCH', 'NOOP', 'LOGOUT']);
  });

  it('tells what the server has said to a refused login', async () => {
    await using world = await serve(wants('LOGIN', 'NO [AUTHENTICATIONFAILED] "no"\x01\xe4'));
    const text = await failure(play(await native(world.endpoint, loginPlans(1, userOf)), 5));
    assert.equal(text, 'LOGIN user0: NO [AUTHENTICATIONFAILED] "no"\x01\u00c3\u00a4');
    assert.equal(world.sent.length, 1);
  });

  it('tells what the server has said to a refused command', async () => {
    await using world = await serve(wants('FETCH', 'BAD what'));
    const plan: WorkerPlan = { kind: 'sessions', user: 'user0', sessions: [[request('NOOP'), request('FETCH 1 FLAGS')]] };
    assert.equal(await failure(play(await native(world.endpoint, [plan]), 5)), 'FETCH 1 FLAGS: BAD what');
  });

  it('fails to start where a held worker is not let in', async () => {
    await using world = await serve(wants('LOGIN user1', 'NO not you'));
    assert.equal(await failure(native(world.endpoint, heldPlans(2, userOf, [request('NOOP')]))), 'LOGIN user1: NO not you');
  });

  it('takes no greeting but OK', async () => {
    await using world = await serve(okay, { greeting: '* BYE full\r\n' });
    assert.equal(await failure(play(await native(world.endpoint, loginPlans(1, userOf)), 5)), 'greeting: * BYE full');
  });

  it('tells of a refused connection', async () => {
    const world = await serve();
    await world[Symbol.asyncDispose]();
    assert.match(await failure(play(await native(world.endpoint, loginPlans(3, userOf)), 5)), /^greeting: .*Connection refused/);
  });

  it('tells of a connection that the server has closed', async () => {
    await using world = await serve((_tag, text, socket) => {
      if (text === 'NOOP') socket.destroy();
      return `${_tag} OK done\r\n`;
    });
    const plan: WorkerPlan = { kind: 'sessions', user: 'user0', sessions: [[request('NOOP')]] };
    assert.match(await failure(play(await native(world.endpoint, [plan]), 5)), /^NOOP: connect/);
  });

  it('ends a session whose server is gone before it has said goodbye', async () => {
    await using world = await serve((tag, text, socket) => {
      if (text !== 'LOGOUT') return `${tag} OK done\r\n`;
      socket.destroy();
      return undefined;
    });
    assert.equal((await play(await native(world.endpoint, loginPlans(1, userOf)), 5)).sessions.length, 5);
  });

  for (const silent of ['LOGIN', 'NOOP', 'LOGOUT']) {
    it(`waits no longer than it is told for an answer to ${silent}`, async () => {
      const answer: Answer = (tag, text) => (text.startsWith(silent) ? undefined : `${tag} OK done\r\n`);
      await using world = await serve(answer, { replyTimeoutMs: 100 });
      const plan: WorkerPlan = { kind: 'sessions', user: 'user0', sessions: [[request('NOOP')]] };
      const text = await failure(play(await native(world.endpoint, [plan]), 5));
      assert.equal(text, `${silent === 'LOGIN' ? 'LOGIN user0' : silent}: no reply within 100 ms`);
    });
  }

  it('refuses a script that it does not understand', async () => {
    await using world = await serve();
    const none: WorkerPlan = { kind: 'sessions', user: 'user0', sessions: [] };
    assert.equal(await failure(native(world.endpoint, [none])), 'worker user0 has nothing to do');
  });
});

describe('the load client in C++ and the stub', { skip }, () => {
  let stub: Peer;
  before(async () => {
    stub = await startStub();
  });
  after(() => stub.stop());

  it('plays plain sessions', async () => {
    const played = await play(await native(stub.endpoint('imap'), loginPlans(10, userOf)), 300);
    assert.deepEqual([played.sessions.length, played.commands.length], [300, 600]);
  });

  it('plays sessions over TLS, with replies and requests of many records', { skip: tlsSkip }, async () => {
    const session = [
      request('SELECT INBOX'),
      request('UID FETCH 1:* (FLAGS)'),
      requestWithLiteral('APPEND INBOX', Buffer.alloc(70_000, 'x\n')),
    ];
    const own: readonly WorkerPlan[] = [0, 1, 2].map((worker) => ({ kind: 'sessions', user: userOf(worker), sessions: [session, []] }));
    const played = await play(await native(stub.endpoint('imaps'), own), 60);
    assert.equal(played.sessions.length, 60);
    assert.ok(played.commands.length > 180);
  });

  it('tells of a server that does not speak TLS', { skip: tlsSkip }, async () => {
    await using world = await serve();
    const text = await failure(play(await native({ ...world.endpoint, tls: true }, loginPlans(1, userOf)), 5));
    assert.match(text, /^greeting: TLS: the server sends something else/);
  });
});

describe('the load client in C++ over TLS', { skip: tlsSkip }, () => {
  const one = loginPlans(1, userOf);

  async function failureOver(endpoint: Endpoint): Promise<string> {
    return failure(play(await native(endpoint, one), 5));
  }

  it('refuses a server that has no TLS 1.3', async () => {
    await using world = await serveTls({ maxVersion: 'TLSv1.2' });
    assert.match(await failureOver(world.endpoint), /^greeting: TLS: the server has chosen version 0 and suite \d+/);
  });

  it('refuses a server that wants another group', async () => {
    await using world = await serveTls({ ecdhCurve: 'P-384' });
    assert.equal(await failureOver(world.endpoint), 'greeting: TLS: the server wants no X25519');
  });

  it('refuses a server that asks for its certificate', async () => {
    await using world = await serveTls({ requestCert: true });
    assert.equal(await failureOver(world.endpoint), 'greeting: TLS: an unexpected message of the handshake: 13');
  });

  it('refuses a server that wants another cipher', async () => {
    await using world = await serveTls({ ciphers: 'TLS_CHACHA20_POLY1305_SHA256' });
    assert.match(await failureOver(world.endpoint), /^greeting: TLS: the server has chosen version 772 and suite 4867/);
  });

  it('tells of an alert', async () => {
    await using world = await serveTls({ sigalgs: 'ed25519' });
    assert.equal(await failureOver(world.endpoint), 'greeting: TLS: alert 40');
  });

  it('notices every changed octet of the encrypted handshake', async () => {
    // After the ServerHello and the ChangeCipherSpec, which are plain: the records of the handshake, and the greeting.
    for (const at of [300, 700, 760, 1_000]) {
      await using world = await serveTls({});
      await using changed = await passOn(world.endpoint, at);
      assert.match(await failureOver(changed.endpoint), /^greeting: TLS: /, `octet ${at}`);
    }
  });

  it('plays on when records are cut anywhere', async () => {
    await using world = await serveTls({});
    await using cut = await passOn(world.endpoint, undefined);
    assert.equal((await play(await native(cut.endpoint, one), 3)).sessions.length, 3);
  });
});

/** Answers OK to everything over TLS. */
async function serveTls(options: TlsOptions): Promise<Pick<World, 'endpoint'> & AsyncDisposable> {
  const server = createTlsServer({ ...certificate(), ...options }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.write('* OK ready\r\n');
    socket.on('data', (chunk) => {
      for (const [, tag] of chunk.toString('latin1').matchAll(/^(t\d+) /gm)) socket.write(`${tag} OK done\r\n`);
    });
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return listening(server, true);
}

/** Passes octets on, those of the server seven at a time, or with one of them changed. */
function passOn(to: Endpoint, changedAt: number | undefined): Promise<Pick<World, 'endpoint'> & AsyncDisposable> {
  const server = createServer((socket) => {
    const other = connect(to.port, to.host);
    let at = 0;
    socket.setNoDelay(true);
    for (const each of [socket, other]) {
      each.on('error', () => each.destroy());
      each.on('close', () => (each === socket ? other : socket).destroy());
    }
    socket.on('data', (chunk) => other.write(chunk));
    other.on('data', (chunk) => {
      const index = changedAt === undefined ? -1 : changedAt - at;
      if (index >= 0 && index < chunk.length) chunk.writeUInt8(chunk.readUInt8(index) ^ 1, index);
      at += chunk.length;
      if (changedAt !== undefined) socket.write(chunk);
      else for (let octet = 0; octet < chunk.length; octet += 7) socket.write(chunk.subarray(octet, octet + 7));
    });
  });
  return listening(server, true);
}

describe('compiling the load client', () => {
  it('says so when there is no compiler', async () => {
    await inFolder(async (folder) => {
      assert.equal(await compile({ sourceFolder: folder, outFolder: folder, compiler: 'no-such-compiler-here' }), undefined);
    });
  });

  it('fails with the words of the compiler', { skip }, async () => {
    await inFolder(async (folder) => {
      writeFileSync(join(folder, 'main.cc'), 'int main() { int unused = 1; return 0; }\n');
      const work = compile({ sourceFolder: folder, outFolder: join(folder, 'out'), compiler: 'g++' });
      assert.match(await failure(work), /does not compile: .*main\.cc.*unused/s);
    });
  });
});

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'roost-load-'));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function hasOpenSsl(): boolean {
  const { stdout } = spawnSync('/sbin/ldconfig', ['-p'], { encoding: 'utf8' });
  return stdout?.includes('libcrypto.so.3 ') === true;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
