// CPU of all server processes for one command, command by command, on one connection.
import { ImapLoad } from '../load/imap-client.js';
import { type LoadResult, runLoad } from '../load/run.js';
import { message } from '../mail.js';
import { writeMaildir } from '../maildir.js';
import { type Peer, password, userName } from '../peers/peer.js';
import { practised } from '../practised.js';
import { type Figure, pick, type Scenario, type Size } from '../scenario.js';
import { percentile } from '../stats.js';

interface Step {
  readonly what: string;
  /** Before the measurement, in order. */
  readonly setup: readonly string[];
  readonly run: (client: ImapLoad, turn: number) => Promise<unknown>;
}

/** After so many commands of a kind their code is compiled; those that wait for the disk take long to get there. */
const warmUpTurns = 2_000;
const longestWarmUpMs = 20_000;
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
    const load = (durationMs: number): Promise<LoadResult> =>
      runLoad({ serverPid: peer.pid, workers: 1, durationMs }, async (_worker, turn) => {
        await step.run(client, turn);
      });
    // Measured is the state that lasts, as in logins/*.
    const until = performance.now() + longestWarmUpMs;
    for (let turns = 0; turns < pick(size, 2, warmUpTurns) && performance.now() < until; )
      turns += (await load(pick(size, 10, 1_500))).count;
    const result = await load(pick(size, 40, 1_500));
    return [
      { metric: `${step.what}: server CPU`, unit: 'ms', better: 'lower', value: result.serverCpuMs / result.count },
      { metric: `${step.what}: p50`, unit: 'ms', better: 'lower', value: percentile(result.latencies, 50) },
    ];
  } finally {
    await client.logout();
  }
}

export const imapCommandScenarios: readonly Scenario[] = [
  {
    name: 'imap/commands',
    about: `CPU of all server processes per command, one connection, ${messages.full} messages of 2 KB, ${folders} mailboxes`,
    peers: ['roost', 'dovecot'],
    options: () => ({ mode: 'performance', users: 1 }),
    async prepare(peer, size) {
      // The CPU of all processes is counted, of those as well that nobody uses.
      await practised(peer, size);
      writeMaildir(peer, 0, { count: pick(size, messages.smoke, messages.full), bytes: 2_000 });
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
];
