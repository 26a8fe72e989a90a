// Large mailboxes through IMAP, on Maildirs made by writing files.
import { ImapLoad } from '../load/imap-client.js';
import { removeIndex, writeMaildir } from '../maildir.js';
import { type Peer, type PeerName, password, userName } from '../peers/peer.js';
import { practised } from '../practised.js';
import { treeCpuMs, treePssBytes } from '../processes.js';
import { type Figure, pick, type Scenario, type Size } from '../scenario.js';

type Command = string | ((client: ImapLoad) => Promise<unknown>);

async function open(peer: Peer): Promise<ImapLoad> {
  return ImapLoad.login(peer.endpoint('imap'), userName(0), password);
}

/** A command with a reply of megabytes, which is counted and not kept: putting it together would take the client about as long as the server takes to send it. */
function long(text: string): Command {
  return (client) => client.count(text);
}

/** Wall time and server CPU of one command. */
async function once(peer: Peer, client: ImapLoad, what: string, command: Command): Promise<readonly Figure[]> {
  const cpuBefore = treeCpuMs(peer.pid);
  const before = performance.now();
  await (typeof command === 'string' ? client.command(command) : command(client));
  const time = performance.now() - before;
  return [
    { metric: what, unit: 'ms', better: 'lower', value: time },
    { metric: `${what}: CPU`, unit: 'ms', better: 'lower', value: treeCpuMs(peer.pid) - cpuBefore },
  ];
}

interface Large {
  readonly name: string;
  readonly about: string;
  readonly count: { readonly smoke: number; readonly full: number };
  readonly bytes: number;
  /** Each run on a fresh Maildir: the commands change it. */
  readonly isFresh: boolean;
  readonly steps: (peer: Peer, count: number, size: Size) => Promise<readonly Figure[]>;
}

function large({ name, about, count, bytes, isFresh, steps }: Large): Scenario {
  const fill = (peer: Peer, size: Size): void => writeMaildir(peer, 0, pick(size, count.smoke, count.full), bytes);
  return {
    name: `store/${name}`,
    about,
    peers: ['roost', 'dovecot'],
    options: (_peer: PeerName) => ({ mode: 'performance', users: 1 }),
    prepare: async (peer, size) => fill(peer, size),
    async run(peer, size) {
      if (isFresh) fill(peer, size);
      return steps(peer, pick(size, count.smoke, count.full), size);
    },
  };
}

const everything = '(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)';
/** Not measured, before the warm figures: there may be several processes, and Dovecot's serve one session after the other. */
const warmingRounds = 2;
/** Between the end of the last session and when the mailbox has left the memory of a server that keeps it for a while. */
const forgetMs = 200;

/** Before this run no client has had a command of the measured processes. */
async function startAnew(peer: Peer, size: Size): Promise<void> {
  await peer.restart?.();
  await forget();
  await practised(peer, size);
}

async function forget(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, forgetMs));
}

/** First in processes that no client has met, then again. */
async function coldAndWarm(peer: Peer, size: Size, steps: (peer: Peer) => Promise<readonly Figure[]>): Promise<readonly Figure[]> {
  await startAnew(peer, size);
  const figures: Figure[] = [];
  for (const state of ['cold', 'warm']) {
    if (state === 'warm') for (let round = 0; round < warmingRounds; round++) await steps(peer);
    figures.push(...(await steps(peer)).map((figure) => ({ ...figure, metric: `${state}: ${figure.metric}` })));
  }
  return figures;
}

async function openAndList(peer: Peer): Promise<readonly Figure[]> {
  removeIndex(peer, 0);
  const first = await open(peer);
  const figures = [...(await once(peer, first, 'SELECT without index', 'SELECT INBOX'))];
  const second = await open(peer);
  figures.push(...(await once(peer, second, 'SELECT, open in another session', 'SELECT INBOX')));
  figures.push(...(await once(peer, second, 'UID FETCH 1:* (FLAGS)', long('UID FETCH 1:* (FLAGS)'))));
  figures.push(...(await once(peer, second, 'SEARCH FLAGGED UNSEEN', 'UID SEARCH FLAGGED UNSEEN')));
  await first.logout();
  await second.logout();
  await forget();
  const third = await open(peer);
  figures.push(...(await once(peer, third, 'SELECT, index on disk', 'SELECT INBOX')));
  await third.logout();
  await forget();
  return figures;
}

async function readAndSearch(peer: Peer): Promise<readonly Figure[]> {
  removeIndex(peer, 0);
  const client = await open(peer);
  await client.command('SELECT INBOX');
  const figures = [
    ...(await once(peer, client, 'FETCH everything, no cache', long(`FETCH 1:* ${everything}`))),
    ...(await once(peer, client, 'FETCH everything, cached', long(`FETCH 1:* ${everything}`))),
    ...(await once(peer, client, 'SEARCH SUBJECT, first', 'SEARCH SUBJECT "number 77"')),
    ...(await once(peer, client, 'SEARCH SUBJECT, again', 'SEARCH SUBJECT "number 77"')),
    ...(await once(peer, client, 'SEARCH TEXT', 'SEARCH TEXT "nowhere to be found"')),
  ];
  await client.logout();
  await forget();
  return figures;
}

export const storeScenarios: readonly Scenario[] = [
  large({
    name: 'open',
    about:
      '100,000 messages: SELECT without and with index, all flags, search by flags, in processes that are new to clients (cold) and again (warm)',
    count: { smoke: 200, full: 100_000 },
    bytes: 600,
    isFresh: false,
    steps: (peer, _count, size) => coldAndWarm(peer, size, openAndList),
  }),
  large({
    name: 'read',
    about:
      '10,000 messages of 2 KB: headers and structures, searches, without and with cache, in processes that are new to clients (cold) and again (warm)',
    count: { smoke: 100, full: 10_000 },
    bytes: 2_000,
    isFresh: false,
    steps: (peer, _count, size) => coldAndWarm(peer, size, readAndSearch),
  }),
  large({
    name: 'change',
    about: '10,000 messages: STORE on all, COPY, MOVE and EXPUNGE of half of them',
    count: { smoke: 100, full: 10_000 },
    bytes: 1_000,
    isFresh: true,
    async steps(peer, count) {
      removeIndex(peer, 0);
      const client = await open(peer);
      const half = Math.floor(count / 2);
      // Several runs: the targets of the run before are in the way.
      for (const name of ['Copies', 'Moved']) {
        await client.command(`DELETE ${name}`).catch(() => undefined);
        await client.command(`CREATE ${name}`);
      }
      await client.command('SELECT INBOX');
      const figures = [
        ...(await once(peer, client, 'STORE +FLAGS.SILENT on all', `STORE 1:* +FLAGS.SILENT (\\Answered)`)),
        ...(await once(peer, client, 'COPY of half', `COPY 1:${half} Copies`)),
        ...(await once(peer, client, 'MOVE of half', `MOVE 1:${half} Moved`)),
      ];
      await client.command('STORE 1:* +FLAGS.SILENT (\\Deleted)');
      figures.push(...(await once(peer, client, 'EXPUNGE of the rest', 'EXPUNGE')));
      await client.logout();
      return figures;
    },
  }),
  ...(process.env['ROOST_BENCH_MILLION'] === undefined
    ? []
    : [
        large({
          name: 'million',
          about: '1,000,000 messages: opening, all flags, memory (only with ROOST_BENCH_MILLION set)',
          count: { smoke: 1_000, full: 1_000_000 },
          bytes: 400,
          isFresh: false,
          async steps(peer) {
            const before = treePssBytes(peer.pid);
            const client = await open(peer);
            const figures = [
              ...(await once(peer, client, 'SELECT', 'SELECT INBOX')),
              ...(await once(peer, client, 'UID FETCH 1:* (FLAGS)', long('UID FETCH 1:* (FLAGS)'))),
            ];
            figures.push({
              metric: 'memory for the mailbox',
              unit: 'MB',
              better: 'lower',
              value: (treePssBytes(peer.pid) - before) / 2 ** 20,
            });
            await client.logout();
            return figures;
          },
        }),
      ]),
];
