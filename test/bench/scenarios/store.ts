// Large mailboxes through IMAP, on Maildirs made by writing files. Cold: in processes that no client has met (they have practised), with the index
// on disk unless it says otherwise; warm: in processes that have had the same commands before.
import { type MaildirFill, removeIndex, writeMaildir } from '../maildir.js';
import type { Peer, PeerName } from '../peers/peer.js';
import { type Figure, pick, type Scenario, type Size } from '../scenario.js';
import { forget, inMailbox, long, named, once, openClient, startAnew } from './store-steps.js';

interface Large {
  readonly name: string;
  readonly about: string;
  readonly count: { readonly smoke: number; readonly full: number };
  readonly fill: Omit<MaildirFill, 'count' | 'folder'>;
  /** Of the mailboxes; only INBOX unless told. */
  readonly folders?: readonly string[];
  /** Each run on a fresh Maildir: the commands change it. */
  readonly isFresh: boolean;
  readonly steps: (peer: Peer, count: number, size: Size) => Promise<readonly Figure[]>;
}

function large({ name, about, count, fill, folders = [''], isFresh, steps }: Large): Scenario {
  const make = (peer: Peer, size: Size): void => {
    for (const folder of folders) writeMaildir(peer, 0, { ...fill, count: pick(size, count.smoke, count.full), folder });
  };
  return {
    name: `store/${name}`,
    about,
    peers: ['roost', 'dovecot'],
    options: (_peer: PeerName) => ({ mode: 'performance', users: 1 }),
    prepare: async (peer, size) => make(peer, size),
    async run(peer, size) {
      if (isFresh) make(peer, size);
      return steps(peer, pick(size, count.smoke, count.full), size);
    },
  };
}

const everything = '(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)';
/** Not measured, before the warm figures: there may be several processes, and Dovecot's serve one session after the other. */
const warmingRounds = 2;

async function inWarmProcesses(steps: () => Promise<readonly Figure[]>): Promise<readonly Figure[]> {
  for (let round = 0; round < warmingRounds; round++) await steps();
  return named('warm', await steps());
}

async function openWithoutIndex(peer: Peer): Promise<readonly Figure[]> {
  removeIndex(peer, 0);
  const client = await openClient(peer);
  const figures = [
    ...(await once(peer, client, 'SELECT without index', 'SELECT INBOX')),
    ...(await once(peer, client, 'UID FETCH 1:* (FLAGS), there was no index', long('UID FETCH 1:* (FLAGS)'))),
  ];
  await client.logout();
  await forget();
  return figures;
}

async function openFromDisk(peer: Peer): Promise<readonly Figure[]> {
  const client = await openClient(peer);
  const figures = [
    ...(await once(peer, client, 'SELECT, index on disk', 'SELECT INBOX')),
    ...(await once(peer, client, 'UID FETCH 1:* (FLAGS)', long('UID FETCH 1:* (FLAGS)'))),
    ...(await once(peer, client, 'SEARCH FLAGGED UNSEEN', 'UID SEARCH FLAGGED UNSEEN')),
    ...(await once(peer, client, 'SEARCH UNSEEN', long('UID SEARCH UNSEEN'))),
  ];
  const second = await openClient(peer);
  figures.push(...(await once(peer, second, 'SELECT, open in another session', 'SELECT INBOX')));
  await second.logout();
  await client.logout();
  await forget();
  return figures;
}

const fields = ['SUBJECT', 'FROM'] as const;

function findField(field: (typeof fields)[number], number: number): string {
  return field === 'SUBJECT' ? `SEARCH SUBJECT "number ${number} of"` : `SEARCH FROM "Sender ${number}"`;
}

/** Mailboxes of which the server has read no header before; what a process has searched for it may keep in memory. */
const unread = ['First', 'Second'] as const;

async function searchUnread(peer: Peer, mailbox: (typeof unread)[number], field: (typeof fields)[number]): Promise<readonly Figure[]> {
  return inMailbox(peer, mailbox, (client) => once(peer, client, `SEARCH ${field}, no cache`, findField(field, 7777)));
}

async function searchFromCache(peer: Peer): Promise<readonly Figure[]> {
  return inMailbox(peer, unread[0], async (client) => {
    const figures: Figure[] = [];
    for (const [when, number] of [
      ['first', 888],
      ['again', 999],
    ] as const)
      for (const field of fields) figures.push(...(await once(peer, client, `SEARCH ${field}, cached, ${when}`, findField(field, number))));
    return figures;
  });
}

async function readWithoutCache(peer: Peer): Promise<readonly Figure[]> {
  removeIndex(peer, 0);
  return inMailbox(peer, 'INBOX', (client) => once(peer, client, 'FETCH everything, no cache', long(`FETCH 1:* ${everything}`)));
}

async function readFromCache(peer: Peer): Promise<readonly Figure[]> {
  return inMailbox(peer, 'INBOX', async (client) => [
    ...(await once(peer, client, 'FETCH everything, cached', long(`FETCH 1:* ${everything}`))),
    ...(await once(peer, client, 'FETCH everything, cached, again', long(`FETCH 1:* ${everything}`))),
    ...(await once(peer, client, 'SEARCH TEXT', 'SEARCH TEXT "nowhere to be found"')),
  ]);
}

export const storeScenarios: readonly Scenario[] = [
  large({
    name: 'open',
    about:
      '100,000 messages: SELECT without and with index, all flags, search by flags, in processes that are new to clients (cold) and again (warm)',
    count: { smoke: 200, full: 100_000 },
    fill: { bytes: 600 },
    isFresh: false,
    async steps(peer, _count, size) {
      await startAnew(peer, size);
      const figures = [...named('cold', await openWithoutIndex(peer))];
      await startAnew(peer, size);
      figures.push(...named('cold', await openFromDisk(peer)));
      figures.push(...(await inWarmProcesses(async () => [...(await openWithoutIndex(peer)), ...(await openFromDisk(peer))])));
      return figures;
    },
  }),
  large({
    name: 'search',
    about:
      '100,000 messages: SEARCH by SUBJECT and FROM before the cache knows them and once it does, in processes that are new to clients (cold) and again (warm)',
    count: { smoke: 200, full: 100_000 },
    fill: { bytes: 600 },
    folders: unread.map((mailbox) => `.${mailbox}`),
    isFresh: false,
    async steps(peer, _count, size) {
      await startAnew(peer, size);
      for (const mailbox of unread) removeIndex(peer, 0, `.${mailbox}`);
      const figures = [...named('cold', await searchUnread(peer, 'First', 'SUBJECT'))];
      figures.push(...named('warm', await searchUnread(peer, 'Second', 'FROM')));
      // Fills it with both.
      await searchFromCache(peer);
      await startAnew(peer, size);
      figures.push(...named('cold', await searchFromCache(peer)));
      figures.push(...(await inWarmProcesses(() => searchFromCache(peer))));
      return figures;
    },
  }),
  large({
    name: 'read',
    about:
      '10,000 messages of 2 KB: headers and structures, search in texts, without and with cache, in processes that are new to clients (cold) and again (warm)',
    count: { smoke: 100, full: 10_000 },
    fill: { bytes: 2_000 },
    isFresh: false,
    async steps(peer, _count, size) {
      await startAnew(peer, size);
      const figures = [...named('cold', await readWithoutCache(peer))];
      await startAnew(peer, size);
      figures.push(...named('cold', await readFromCache(peer)));
      figures.push(...(await inWarmProcesses(async () => [...(await readWithoutCache(peer)), ...(await readFromCache(peer))])));
      return figures;
    },
  }),
  large({
    name: 'change',
    about: '10,000 messages: STORE on all, COPY, MOVE and EXPUNGE of half of them',
    count: { smoke: 100, full: 10_000 },
    fill: { bytes: 1_000, isWritten: true },
    isFresh: true,
    async steps(peer, count) {
      removeIndex(peer, 0);
      const client = await openClient(peer);
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
];
