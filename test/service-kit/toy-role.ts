// Roles for the tests of the kit, run by fake-master.ts as processes of their own. The line protocol: the server says `hello ...`, then
//   STARTTLS     -> `go`, then TLS            LOGIN user   hands the connection to service `mail`
//   quit         -> closes                    block N      keeps the event loop busy for N ms
//   back         -> from the mail process back to `toy`    forge  the same, with another peer
//   random       -> random numbers            wait N     answers after N ms, with how long that was
//   flood N      -> N octets                  leak         releases the slot only when the process stops
// and everything else comes back as `<pid> line`.
import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { defineSettings } from '#config/define.js';
import type { Peer } from '#ipc/peer.js';
import type { AcceptedConnection, ClientHandle, Role, ServiceContext } from '#service-kit/role.js';
import { runService } from '#service-kit/run-service.js';

type Lines = (line: string, rest: () => Buffer) => 'stop' | undefined;

/** Calls back for each line; `rest` gives what was read after it. */
function readLines(stream: Duplex, onLine: Lines): void {
  let received: Buffer = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    for (let end = received.indexOf('\n'); end >= 0; end = received.indexOf('\n')) {
      const line = received.toString('utf8', 0, end).trim();
      received = received.subarray(end + 1);
      if (onLine(line, () => received) === 'stop') return;
    }
  });
}

function talk(stream: Duplex, line: string): void {
  const [verb, text = '', ...words] = line.split(' ');
  if (verb === 'quit') stream.end('bye\n');
  else if (verb === 'block') {
    const endMs = performance.now() + Number(text);
    while (performance.now() < endMs);
    stream.write('blocked\n');
  } else if (verb === 'hog') hog(Number(text), Number(words[0]));
  else if (verb === 'flood') stream.write(Buffer.alloc(Number(text), 'x'));
  else if (verb === 'random') {
    stream.write(`random ${Math.random()} ${randomUUID()} ${randomInt(2 ** 40)} ${randomBytes(8).toString('hex')}\n`);
  } else if (verb === 'wait') {
    const startedMs = performance.now();
    setTimeout(() => stream.write(`waited ${Math.round(performance.now() - startedMs)}\n`), Number(text));
  } else stream.write(`${process.pid} ${line}\n`);
}

/** Blocks the event loop so many times, with a turn of it between them. */
function hog(blockMs: number, times: number): void {
  const endMs = performance.now() + blockMs;
  while (performance.now() < endMs);
  if (times > 1) setImmediate(hog, blockMs, times - 1);
}

function facts(peer: Peer): string {
  return `${peer.remoteIp}:${peer.remotePort} ${peer.isSecured ? 'secured' : 'plain'}${peer.isTrusted ? ' trusted' : ''}${peer.tls === undefined ? '' : ` ${peer.tls.protocol}`}`;
}

class Client implements ClientHandle {
  readonly startedAtMs = Date.now();
  isPreAuth = true;
  readonly #context: ServiceContext;
  readonly #connection: AcceptedConnection;
  #stream: Duplex;
  #peer: Peer;

  constructor(context: ServiceContext, connection: AcceptedConnection) {
    this.#context = context;
    this.#connection = connection;
    this.#stream = connection.socket;
    this.#peer = connection.peer;
    connection.socket.on('close', () => connection.release());
    if (connection.listener.isTls) this.#startTls(Buffer.alloc(0), true);
    else this.#greet();
  }

  stop(reason: string): void {
    this.#stream.end(`stop ${reason}\n`);
  }

  #greet(): void {
    this.#stream.write(`hello ${facts(this.#peer)}\n`);
    this.#listen();
  }

  #listen(): void {
    readLines(this.#stream, (line, rest) => {
      const [verb, user = ''] = line.split(' ');
      if (verb === 'STARTTLS') {
        this.#stream.write('go\n');
        this.#startTls(rest(), false);
        return 'stop';
      }
      if (verb === 'LOGIN') {
        this.#handOff(user, rest());
        return 'stop';
      }
      talk(this.#stream, line);
      return undefined;
    });
  }

  #startTls(buffered: Buffer, isGreeted: boolean): void {
    this.#context.startTls(this.#connection, buffered, true).then(
      ({ stream, peer }) => {
        this.#stream = stream;
        this.#peer = peer;
        stream.on('error', () => undefined);
        if (isGreeted) this.#greet();
        else this.#listen();
      },
      (error: unknown) => this.#context.log.info('toy.tls-failed', String(error)),
    );
  }

  #handOff(user: string, buffered: Buffer): void {
    this.isPreAuth = false;
    const request = {
      service: 'mail',
      user,
      authPid: 1,
      authId: 2,
      cookie: '0'.repeat(32),
      loginPid: process.pid,
      sessionId: `session-${user}`,
      peer: this.#peer,
      fields: { tag: 'a1' },
    };
    this.#context.handOff(this.#connection, this.#stream, buffered, request).then(
      (outcome) => {
        if (outcome.kind !== 'passed') this.#stream.end(`refused ${outcome.kind}: ${outcome.reason}\n`);
      },
      (error: unknown) => this.#context.log.error('toy.hand-off', String(error)),
    );
  }
}

const toySettings = defineSettings('toy', {});

const echo: Role = {
  name: 'toy',
  settings: [toySettings],
  rehearsal: {
    from: 'listener',
    service: 'mail',
    greeting: /^hello/,
    lines: [
      { send: 'random', until: /^random/ },
      { send: 'quit', until: /^bye/ },
    ],
    practice: {
      sessions: 40,
      session: (index) => [
        { send: `practice ${index}`, until: /^\d+ practice/ },
        { send: 'quit', until: /^bye/ },
      ],
    },
  },
  start(context) {
    context.onConnection((connection) => new Client(context, connection), { refusal: (_, reason) => `later: ${reason}\n` });
    context.onReturn((connection) => new Client(context, connection));
    return Promise.resolve(() => {
      context.log.info('toy.end', 'ended');
      return Promise.resolve();
    });
  },
};

const mail: Role = {
  name: 'mail',
  settings: [toySettings],
  rehearsal: {
    from: 'handoff',
    service: 'mail',
    greeting: /^welcome/,
    lines: [{ send: 'quit', until: /^bye/ }],
    practice: {
      sessions: 3,
      prepare: async (folder) => {
        if (folder !== '') await writeFile(join(folder, 'prepared'), '');
      },
      // The last one cannot come to its end: the first line ends it, and nothing answers the second.
      session: (index) => Array.from({ length: index === 2 ? 3 : 1 }, () => ({ send: 'quit', until: /^bye/ })),
    },
  },
  start(context) {
    const streams = new Set<Duplex>();
    context.onReload(() => {
      for (const stream of streams) stream.write('reloaded\n');
    });
    context.onHandoff((handed) => {
      const { stream, request, release } = handed;
      streams.add(stream);
      const leave = context.anvil.connect(
        { user: request.user, remoteIp: request.peer.remoteIp, service: 'mail', sessionId: request.sessionId },
        () => stream.end('kicked\n'),
      );
      stream.on('close', () => {
        leave();
        streams.delete(stream);
        release();
      });
      stream.on('error', () => undefined);
      stream.write(`welcome ${request.user} to ${process.pid} from ${facts(request.peer)}\n`);
      readLines(stream, (line, rest) => {
        if (line === 'back' || line === 'forge') {
          const peer = line === 'back' ? request.peer : { ...request.peer, isTrusted: true };
          for (const event of ['data', 'close']) stream.removeAllListeners(event);
          stream.pause();
          stream.unshift(rest());
          void context.passOn(handed, { ...request, peer, service: 'toy' }).then(() => {
            leave();
            streams.delete(stream);
            release();
          });
          return 'stop';
        }
        talk(stream, line);
        return undefined;
      });
      return { isPreAuth: false, startedAtMs: Date.now(), stop: (reason) => stream.end(`stop ${reason}\n`) };
    });
    return Promise.resolve(() => Promise.resolve());
  },
};

runService(process.argv.includes('mail') ? mail : echo);
