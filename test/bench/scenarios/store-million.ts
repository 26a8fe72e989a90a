// One mailbox ten, a hundred and a thousand times as large: what it costs must grow with it, and no faster.
import { removeIndex, writeMaildir } from '../maildir.js';
import type { Peer } from '../peers/peer.js';
import { treePssBytes } from '../processes.js';
import { type Figure, pick, type Scenario, type Size } from '../scenario.js';
import { long, named, once, openClient, startAnew } from './store-steps.js';

const sizes = { smoke: [100, 1_000], full: [10_000, 100_000, 1_000_000] } as const;
const megabyte = 2 ** 20;

function nameOf(count: number): string {
  return `All${count}`;
}

/** Opens it in processes that no client has met, and lists all flags. Memory is that of all processes, garbage included, beyond what they have without it. */
async function openAndList(peer: Peer, count: number, size: Size): Promise<readonly Figure[]> {
  await startAnew(peer, size);
  const client = await openClient(peer);
  await client.command('NOOP');
  const before = treePssBytes(peer.pid);
  const figures = [
    ...(await once(peer, client, 'SELECT', `SELECT ${nameOf(count)}`)),
    ...(await once(peer, client, 'UID FETCH 1:* (FLAGS)', long('UID FETCH 1:* (FLAGS)'))),
  ];
  const value = (treePssBytes(peer.pid) - before) / megabyte;
  await client.logout();
  return [...figures, { metric: 'memory', unit: 'MB', better: 'lower', value }];
}

export const storeMillionScenarios: readonly Scenario[] = [
  {
    name: 'store/million',
    about: 'Mailboxes of 10,000, 100,000 and 1,000,000 messages: opening without and with index, all flags, memory (takes minutes)',
    peers: ['roost', 'dovecot'],
    options: () => ({ mode: 'performance', users: 1 }),
    async prepare(peer, size) {
      for (const count of pick<readonly number[]>(size, sizes.smoke, sizes.full))
        writeMaildir(peer, 0, { count, bytes: 400, distinct: 100, folder: `.${nameOf(count)}` });
    },
    async run(peer, size) {
      const figures: Figure[] = [];
      for (const count of pick<readonly number[]>(size, sizes.smoke, sizes.full)) {
        removeIndex(peer, 0, `.${nameOf(count)}`);
        for (const state of ['no index', 'index']) figures.push(...named(`${count}, ${state}`, await openAndList(peer, count, size)));
      }
      return figures;
    },
  },
];
