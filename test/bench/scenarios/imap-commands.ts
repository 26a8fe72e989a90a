// CPU of all server processes for one command, command by command, on one connection.
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { ImapLoad } from '../load/imap-client.js';
import { runLoad } from '../load/run.js';
import { message } from '../mail.js';
import { writeMaildir } from '../maildir.js';
import { type Peer, password, userName } from '../peers/peer.js';
import { type Figure, pick, type Scenario, type Size } from '../scenario.js';
import { percentile } from '../stats.js';

interface Step {
  readonly what: string;
  /** Before the measurement, in order. */
  readonly setup: readonly string[];
  readonly run: (client: ImapLoad, turn: number) => Promise<unknown>;
}

const messages = { smoke: 30, full: 300 };
const folders = 30;

const simple = (what: string, text: string, setup: readonly string[] = ['SELECT INBOX']): Step => ({
  what,
  setup,
  run: (client) => client.command(text),
});

const steps: readonly Step[] = [
  simple('NOOP', 'NOOP'),
  simple('FETCH 1:* FLAGS', 'FETCH 1:* (UID FLAGS)'),
  simple('FETCH 1:* headers and structure', 'FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)'),
  { what: 'FETCH BODY[] 2 KB', setup: ['SELECT INBOX'], run: (client, turn) => client.command(`FETCH ${(turn % 30) + 1} BODY.PEEK[]`) },
  {
    what: 'STORE one flag',
    setup: ['SELECT INBOX'],
    run: (client, turn) => client.command(`STORE ${((turn >> 1) % 30) + 1} ${turn % 2 === 0 ? '+' : '-'}FLAGS (\\Answered)`),
  },
  {
    what: 'SELECT and CLOSE',
    setup: [],
    run: async (client) => {
      await client.command('SELECT INBOX');
      await client.command('CLOSE');
    },
  },
  simple('STATUS', 'STATUS INBOX (MESSAGES UIDNEXT UNSEEN)', []),
  simple('LIST', 'LIST "" "*"', []),
  { what: 'APPEND 2 KB', setup: [], run: (client, turn) => client.withLiteral('APPEND Appended', message(2_000, turn)) },
];

async function measure(peer: Peer, size: Size, step: Step): Promise<readonly Figure[]> {
  const client = await ImapLoad.login(peer.endpoint('imap'), userName(0), password);
  try {
    for (const line of step.setup) await client.command(line);
    for (let turn = 0; turn < pick(size, 2, 50); turn++) await step.run(client, turn);
    const result = await runLoad({ serverPid: peer.pid, workers: 1, durationMs: pick(size, 40, 1_500) }, async (_worker, turn) => {
      await step.run(client, turn);
    });
    return [
      { metric: `${step.what}: server CPU`, unit: 'ms', better: 'lower', value: result.serverCpuMs / result.count },
      { metric: `${step.what}: p50`, unit: 'ms', better: 'lower', value: percentile(result.latencies, 50) },
    ];
  } finally {
    await client.logout();
  }
}

/** Octets a second from a program that reads the same files and writes them to a socket, and does nothing else. */
async function bareCopyRate(files: readonly string[], durationMs: number): Promise<number> {
  const server = createServer((socket) => {
    let next = 0;
    socket.on('error', () => undefined);
    socket.on('data', () => {
      const path = files[next++ % files.length];
      if (path !== undefined) socket.write(readFileSync(path));
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const socket = connect(address.port, '127.0.0.1');
  const length = readFileSync(files[0] ?? '').length;
  let octets = 0;
  const startedAt = performance.now();
  await new Promise<void>((resolve) => {
    let pending = length;
    socket.on('data', (chunk: Buffer) => {
      octets += chunk.length;
      pending -= chunk.length;
      if (performance.now() - startedAt > durationMs) return resolve();
      if (pending > 0) return;
      pending = length;
      socket.write('.');
    });
    socket.write('.');
  });
  const rate = octets / ((performance.now() - startedAt) / 1000);
  socket.destroy();
  server.close();
  return rate;
}

export const imapCommandScenarios: readonly Scenario[] = [
  {
    name: 'imap/commands',
    about: `CPU of all server processes per command, one connection, ${messages.full} messages of 2 KB, ${folders} mailboxes`,
    peers: ['roost', 'dovecot'],
    options: () => ({ mode: 'performance', users: 1 }),
    async prepare(peer, size) {
      writeMaildir(peer, 0, pick(size, messages.smoke, messages.full), 2_000);
      const client = await ImapLoad.login(peer.endpoint('imap'), userName(0), password);
      await client.command('CREATE Appended');
      for (let index = 0; index < folders; index++) await client.command(`CREATE Folder${index}`);
      await client.logout();
    },
    async run(peer, size) {
      const figures: Figure[] = [];
      for (const step of steps) figures.push(...(await measure(peer, size, step)));
      return figures;
    },
  },
  {
    name: 'imap/fetch-large',
    about: 'FETCH BODY[] of 1 MB messages, one connection, and a bare program that copies the same files to a socket',
    peers: ['roost', 'dovecot'],
    options: () => ({ mode: 'performance', users: 1 }),
    prepare: async (peer, size) => writeMaildir(peer, 0, pick(size, 2, 20), 1_048_576),
    async run(peer, size) {
      const client = await ImapLoad.login(peer.endpoint('imap'), userName(0), password);
      try {
        await client.command('SELECT INBOX');
        const count = pick(size, 2, 20);
        let octets = 0;
        const result = await runLoad({ serverPid: peer.pid, workers: 1, durationMs: pick(size, 200, 3_000) }, async (_worker, turn) => {
          octets += (await client.command(`FETCH ${(turn % count) + 1} BODY.PEEK[]`)).length;
        });
        const rate = octets / result.seconds;
        const cur = join(peer.maildir(userName(0)), 'cur');
        const bare = await bareCopyRate(
          readdirSync(cur).map((name) => join(cur, name)),
          pick(size, 100, 1_500),
        );
        return [
          { metric: 'BODY[] 1 MB', unit: 'MB/s', better: 'higher', value: rate / 2 ** 20 },
          { metric: 'server CPU per fetch', unit: 'ms', better: 'lower', value: result.serverCpuMs / result.count },
          { metric: 'bare copy of the files', unit: 'MB/s', better: 'higher', value: bare / 2 ** 20 },
        ];
      } finally {
        await client.logout();
      }
    },
  },
];
