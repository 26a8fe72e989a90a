// Memory of connections that only wait: IDLE with INBOX selected.
import { ImapLoad } from '../load/imap-client.js';
import { message } from '../mail.js';
import { type PeerName, type Protocol, password, userName } from '../peers/peer.js';
import { treeCpuMs, treePssBytes } from '../processes.js';
import { pick, type Scenario, type Size } from '../scenario.js';

const users = 50;
/** Of the connections: after these every mailbox is open and the code has run, so that what follows is what one more connection costs. */
const firstShare = 0.2;

/**
 * Memory that stays, octets: readings are taken until they no longer fall. A process that has been busy gives its garbage back over some seconds,
 * and one reading in between may be high by a fifth.
 */
async function settledPssBytes(pid: number, size: Size): Promise<number> {
  const everyMs = pick(size, 100, 1_000);
  // Roost folds sessions after 5 s, and collects twice, 8 and 16 s later.
  await new Promise((resolve) => setTimeout(resolve, pick(size, 0, 30_000)));
  let lowest = Number.POSITIVE_INFINITY;
  for (let reading = 0, unchanged = 0; reading < pick(size, 3, 40) && unchanged < pick(size, 2, 12); reading++) {
    await new Promise((resolve) => setTimeout(resolve, everyMs));
    const now = treePssBytes(pid);
    unchanged = now < lowest * 0.995 ? 0 : unchanged + 1;
    lowest = Math.min(lowest, now);
  }
  return lowest;
}

function idle(
  name: string,
  protocol: Protocol,
  connections: number,
  hibernateAfter: string | undefined,
  about: string,
  peers: readonly PeerName[] = ['roost', 'dovecot'],
): Scenario {
  return {
    name: `idle/${name}`,
    about,
    peers,
    options: () => ({ mode: 'performance', users, ...(hibernateAfter === undefined ? {} : { hibernateAfter }) }),
    async prepare(peer, size) {
      for (let user = 0; user < pick(size, 4, users); user++) {
        const client = await ImapLoad.login(peer.endpoint(protocol), userName(user), password);
        for (let index = 0; index < 5; index++) await client.withLiteral('APPEND INBOX', message(1_000, index));
        await client.logout();
      }
    },
    async run(peer, size) {
      const wanted = pick(size, 20, connections);
      const clients: ImapLoad[] = [];
      try {
        let next = 0;
        const connect = async (upTo: number): Promise<void> => {
          while (next < upTo) {
            const client = await ImapLoad.login(peer.endpoint(protocol), userName(next++ % pick(size, 4, users)), password);
            clients.push(client);
            await client.command('SELECT INBOX');
            await client.idle();
          }
        };
        const connectUpTo = (upTo: number) => Promise.all(Array.from({ length: 5 }, () => connect(upTo)));
        const first = Math.ceil(wanted * firstShare);
        await connectUpTo(first);
        const before = await settledPssBytes(peer.pid, size);
        await connectUpTo(wanted);
        const total = await settledPssBytes(peer.pid, size);
        const cpuBefore = treeCpuMs(peer.pid);
        const waitMs = pick(size, 200, 5_000);
        await new Promise((resolve) => setTimeout(resolve, waitMs));
        const cpu = treeCpuMs(peer.pid) - cpuBefore;
        return [
          { metric: 'PSS in total', unit: 'MB', better: 'lower', value: total / 2 ** 20 },
          { metric: 'PSS per further connection', unit: 'KB', better: 'lower', value: (total - before) / (wanted - first) / 1024 },
          { metric: 'CPU while idle', unit: 'ms/s', better: 'lower', value: cpu / (waitMs / 1000) },
        ];
      } finally {
        for (const client of clients) client.connection.close();
      }
    },
  };
}

export const idleScenarios: readonly Scenario[] = [
  idle('plain-500', 'imap', 500, undefined, '500 IDLE connections of 50 users, plain: memory of all server processes'),
  idle('tls-500', 'imaps', 500, undefined, '500 IDLE connections of 50 users, TLS'),
  idle('plain-5000', 'imap', 5_000, undefined, '5,000 IDLE connections of 50 users, plain (Dovecot would need as many processes)', [
    'roost',
  ]),
  idle('hibernated-500', 'imap', 500, '2s', '500 IDLE connections of 50 users, plain, hibernated'),
];
