// Single IMAP commands on one connection after the other.
import { ImapLoad } from '../load/imap-client.js';
import { heldPlans, requestWithLiteral } from '../load/plan.js';
import { withPlay } from '../load/play.js';
import { type LoadResult, loadFigures, runLoad } from '../load/run.js';
import { message } from '../mail.js';
import { type Peer, password, userName } from '../peers/peer.js';
import { type Figure, pick, type Scenario, type Size } from '../scenario.js';

/** Fills INBOX of the first user by APPEND, the same way for every server. */
async function fill(peer: Peer, count: number, bytes: number): Promise<void> {
  const client = await ImapLoad.login(peer.endpoint('imap'), userName(0), password);
  for (let index = 0; index < count; index++) await client.withLiteral('APPEND INBOX', message(bytes, index));
  await client.logout();
}

/** One timed command at a time, repeated for a while on one connection. */
async function timed(
  peer: Peer,
  size: Size,
  what: string,
  command: (client: ImapLoad, turn: number) => Promise<unknown>,
  setup: readonly string[],
): Promise<readonly Figure[]> {
  const client = await ImapLoad.login(peer.endpoint('imap'), userName(0), password);
  try {
    for (const line of setup) await client.command(line);
    const load = (durationMs: number): Promise<LoadResult> =>
      runLoad({ serverPid: peer.pid, workers: 1, durationMs }, async (_worker, turn) => void (await command(client, turn)));
    // Measured is the state that lasts, as in logins/*.
    await load(pick(size, 10, 3_000));
    return loadFigures(what, await load(pick(size, 300, 3_000)));
  } finally {
    await client.logout();
  }
}

export const imapScenarios: readonly Scenario[] = [
  {
    name: 'imap/fetch-headers',
    about: 'UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE) of 5,000 messages of 2 KB, caches warm',
    peers: ['roost', 'dovecot'],
    isVariant: true,
    options: () => ({ mode: 'performance', users: 1 }),
    prepare: (peer, size) => fill(peer, pick(size, 50, 5_000), 2_000),
    run: (peer, size) =>
      timed(peer, size, 'fetch', (client) => client.command('UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)'), [
        'SELECT INBOX',
      ]),
  },
  {
    name: 'imap/append',
    about: 'APPEND of 10 KB messages, fsync before OK, one connection',
    peers: ['roost', 'dovecot'],
    isVariant: true,
    options: () => ({ mode: 'performance', users: 1 }),
    run: (peer, size) => timed(peer, size, 'append', (client, turn) => client.withLiteral('APPEND INBOX', message(10_000, turn)), []),
  },
  {
    name: 'imap/append-10',
    about: 'APPEND of 10 KB messages, fsync before OK, ten users at once',
    peers: ['roost', 'dovecot'],
    options: () => ({ mode: 'performance', users: 10 }),
    async run(peer, size) {
      const requests = Array.from({ length: 100 }, (_, turn) => requestWithLiteral('APPEND INBOX', message(10_000, turn)));
      return withPlay({ peer, protocol: 'imap', plans: heldPlans(10, userName, requests) }, async (play) => {
        // Measured is the state that lasts, as in logins/*.
        await play(pick(size, 10, 6_000));
        return loadFigures('append', (await play(pick(size, 300, 4_000))).commands);
      });
    },
  },
  {
    name: 'imap/store',
    about: 'UID STORE 1:1000 +FLAGS.SILENT and -FLAGS.SILENT (\\Flagged) in turn',
    peers: ['roost', 'dovecot'],
    isVariant: true,
    options: () => ({ mode: 'performance', users: 1 }),
    prepare: (peer, size) => fill(peer, pick(size, 20, 1_000), 1_000),
    run: (peer, size) =>
      timed(
        peer,
        size,
        'store',
        (client, turn) => client.command(`UID STORE 1:1000 ${turn % 2 === 0 ? '+' : '-'}FLAGS.SILENT (\\Flagged)`),
        ['SELECT INBOX'],
      ),
  },
];
