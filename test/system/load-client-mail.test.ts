// Deliveries of the benchmark's load clients (test/bench/load), that in C++ and that in TypeScript: what they send, what they want to hear, and what
// they tell when they hear something else.
import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import type { Endpoint } from '../bench/load/line-connection.js';
import { type Delivery, deliveryPlans, type WorkerPlan } from '../bench/load/plan.js';
import type { Peer } from '../bench/peers/peer.js';
import { startStub } from '../bench/peers/stub.js';
import { type Client, failure, listening, longMs, native, play, script, skip } from './load-clients.js';

interface World extends AsyncDisposable {
  readonly endpoint: Endpoint;
  /** Lines of all connections but those of messages. */
  readonly commands: string[];
  /** What each event of a connection has brought. */
  readonly writes: string[];
  readonly messages: string[];
}

/** What the server says to a command, or to a message (`.`); undefined: nothing. */
type Answer = (command: string, socket: Socket) => string | undefined;

const okay: Answer = (command) => {
  if (command === 'greeting') return '220-stub\r\n220 ready\r\n';
  if (/^(EHLO|LHLO)/.test(command)) return '250-stub\r\n250-PIPELINING\r\n250 CHUNKING\r\n';
  if (command === 'DATA') return '354 go\r\n';
  return command === 'QUIT' ? '221 bye\r\n' : '250 2.0.0 OK\r\n';
};

const wants = (text: string, said: string): Answer => {
  return (command, socket) => (command.startsWith(text) ? `${said}\r\n` : okay(command, socket));
};

/** Speaks LMTP where it is greeted so: one answer to a message for each recipient that it has accepted. */
async function serve(answer: Answer = okay, replyTimeoutMs = longMs): Promise<World> {
  const [commands, writes, messages]: [string[], string[], string[]] = [[], [], []];
  const server = createServer((socket) => {
    let pending = '';
    let isLmtp = false;
    let isData = false;
    let recipients = 0;
    const say = (text: string | undefined): void => {
      if (text !== undefined && !socket.destroyed) socket.write(text);
    };
    const take = (line: string): void => {
      commands.push(line);
      if (line.startsWith('LHLO')) isLmtp = true;
      if (line.startsWith('MAIL')) recipients = 0;
      if (line.startsWith('RCPT')) recipients += 1;
      if (line === 'DATA') isData = true;
      say(answer(line, socket));
    };
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    say(answer('greeting', socket));
    socket.on('data', (chunk) => {
      writes.push(chunk.toString('latin1'));
      pending += chunk.toString('latin1');
      for (;;) {
        const end = isData ? `\r\n${pending}`.indexOf('\r\n.\r\n') : pending.indexOf('\r\n');
        if (end < 0) return;
        const text = pending.slice(0, end);
        pending = pending.slice(isData ? end + 3 : end + 2);
        if (isData) {
          messages.push(text);
          isData = false;
          for (let each = 0; each < (isLmtp ? recipients : 1); each++) say(answer(`.${each}`, socket));
        } else take(text);
      }
    });
  });
  const { endpoint, [Symbol.asyncDispose]: close } = await listening(server, false);
  return { endpoint: { ...endpoint, replyTimeoutMs }, commands, writes, messages, [Symbol.asyncDispose]: close };
}

const message = Buffer.from(`Subject: x\r\n\r\n..\r\n${'y'.repeat(100_000)}\r\n`);
const to = (worker: number): string => `user${worker}@example.test`;
const two = [to(0), to(1)];
const plan = (protocol: Delivery['protocol'], recipients: readonly string[] = [to(0)]): readonly WorkerPlan[] => [
  { kind: 'delivery', delivery: { protocol, sender: 'sender@example.test', recipients, message, isChunked: false } },
];
const envelope = (recipients: readonly string[]): string =>
  `MAIL FROM:<sender@example.test>\r\n${recipients.map((each) => `RCPT TO:<${each}>\r\n`).join('')}DATA\r\n`;

type Start = (endpoint: Endpoint, plans: readonly WorkerPlan[]) => Promise<Client>;
const clients: readonly (readonly [name: string, start: Start, skip: string | false])[] = [
  ['C++', native, skip],
  ['TypeScript', script, false],
];

for (const [name, start, isSkipped] of clients) {
  describe(`the load client in ${name}, delivering`, { skip: isSkipped }, () => {
    for (const protocol of ['lmtp', 'smtp'] as const) {
      it(`speaks ${protocol}: the envelope in one write, the message in another, on one connection`, async () => {
        await using world = await serve();
        const client = await start(world.endpoint, plan(protocol, two));
        const hello = `${protocol === 'lmtp' ? 'LHLO' : 'EHLO'} bench.test`;
        try {
          assert.deepEqual(world.commands, [hello]);
          const { sessions, commands, seconds, clientCpuMs } = await client.run(longMs, 3);
          assert.deepEqual([sessions.length, commands.length], [0, 3]);
          assert.ok(seconds > 0 && clientCpuMs > 0 && commands.every((ms) => ms > 0 && ms < longMs));
          assert.equal((await client.run(longMs, 2)).commands.length, 2);
        } finally {
          await client.end();
        }
        assert.equal(world.writes[1], envelope(two));
        assert.equal(world.writes.join(''), `${hello}\r\n${`${envelope(two)}${message}.\r\n`.repeat(5)}QUIT\r\n`);
        assert.deepEqual(world.messages, Array(5).fill(message.toString()));
      });
    }

    for (const protocol of ['lmtp', 'smtp'] as const) {
      it(`sends all in one write with ${protocol} and BDAT`, async () => {
        const head = `MAIL FROM:<sender@example.test>\r\nRCPT TO:<${to(0)}>\r\nRCPT TO:<${to(1)}>\r\nBDAT ${message.length} LAST\r\n`;
        const whole = `${head}${message}`;
        let taken = '';
        const server = createServer((socket) => {
          socket.write('220 ready\r\n');
          let pending = '';
          socket.setEncoding('latin1').on('data', (text: string) => {
            pending += text;
            if (/^.HLO|^EHLO/.test(pending)) pending = '';
            else if (pending === 'QUIT\r\n') {
              socket.end('221 bye\r\n');
              return;
            } else if (pending.length < whole.length) return;
            else {
              taken += pending;
              pending = '';
              socket.write('250 ok\r\n'.repeat(protocol === 'lmtp' ? 5 : 4));
              return;
            }
            socket.write('250 ok\r\n');
          });
        });
        const { endpoint, [Symbol.asyncDispose]: close } = await listening(server, false);
        try {
          const delivery = { protocol, sender: 'sender@example.test', recipients: two, message, isChunked: true };
          const played = await play(await start({ ...endpoint, replyTimeoutMs: longMs }, [{ kind: 'delivery', delivery }]), 3);
          assert.equal(played.commands.length, 3);
          assert.equal(taken, whole.repeat(3));
        } finally {
          await close();
        }
      });
    }

    it('delivers to each recipient by a worker of its own', async () => {
      await using world = await serve();
      await play(await start(world.endpoint, deliveryPlans(4, to, { protocol: 'lmtp', message })), 40);
      const named = new Set(world.commands.filter((command) => command.startsWith('RCPT')));
      assert.deepEqual([...named].sort(), [0, 1, 2, 3].map((worker) => `RCPT TO:<${to(worker)}>`).sort());
      assert.equal(world.messages.length, 40);
    });

    it('begins nothing after its time', async () => {
      await using world = await serve();
      const played = await play(await start(world.endpoint, plan('lmtp')), 1_000_000, 50);
      assert.ok(played.seconds >= 0.05);
      assert.equal(played.commands.length, world.messages.length);
    });

    it('takes replies however they are cut', async () => {
      await using world = await serve((command, socket) => {
        for (const octet of okay(command, socket) ?? '') socket.write(octet);
        return undefined;
      });
      assert.equal((await play(await start(world.endpoint, plan('lmtp', two)), 5)).commands.length, 5);
    });

    const refusals: readonly (readonly [what: string, said: string, told: string])[] = [
      ['greeting', '421 4.3.2 full', 'greeting: 421 4.3.2 full'],
      ['LHLO', '500-no\r\n500 5.5.1 this is SMTP', 'LHLO bench.test: 500 5.5.1 this is SMTP'],
      ['MAIL', '451 4.3.0 not now', 'MAIL FROM:<sender@example.test>: 451 4.3.0 not now'],
      [`RCPT TO:<${to(1)}>`, '550 5.1.1 who?', `RCPT TO:<${to(1)}>: 550 5.1.1 who?`],
      ['DATA', '250 what', 'DATA: 250 what'],
      ['.1', '452 4.2.2 full', `message to <${to(1)}>: 452 4.2.2 full`],
      ['.0', 'nonsense', `message to <${to(0)}>: nonsense`],
    ];
    for (const [what, said, told] of refusals) {
      it(`tells what the server has said to ${what}`, async () => {
        await using world = await serve(wants(what, said));
        const work = start(world.endpoint, plan('lmtp', two)).then((client) => play(client, 5));
        assert.equal(await failure(work), told);
        assert.ok(world.messages.length <= 1);
      });
    }

    for (const silent of ['EHLO', 'DATA', '.0']) {
      it(`waits no longer than it is told for an answer to ${silent}`, async () => {
        await using world = await serve((command, socket) => (command.startsWith(silent) ? undefined : okay(command, socket)), 100);
        const text = await failure(start(world.endpoint, plan('smtp')).then((client) => play(client, 5)));
        assert.match(text, /no reply within 100 ms$/);
      });
    }

    it('tells of a server that has gone', async () => {
      await using world = await serve((command, socket) => {
        if (command !== '.0') return okay(command, socket);
        socket.destroy();
        return undefined;
      });
      const text = await failure(start(world.endpoint, plan('lmtp')).then((client) => play(client, 5)));
      assert.match(text, /connection closed by the server$|ECONNRESET|reset by peer/);
    });
  });
}

describe('the load client in C++ and the stub', { skip }, () => {
  let stub: Peer;
  before(async () => {
    stub = await startStub();
  });
  after(() => stub.stop());

  it('delivers', async () => {
    const plans = deliveryPlans(10, to, { protocol: 'lmtp', message });
    assert.equal((await play(await native(stub.endpoint('lmtp'), plans), 300)).commands.length, 300);
  });
});
