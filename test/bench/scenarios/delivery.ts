// Messages taken per second. The reply to the data promises durability: message and directory entry are fsynced before it.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type LoadResult, loadFigures, runLoad } from '../load/run.js';
import { SmtpLoad } from '../load/smtp-client.js';
import { message } from '../mail.js';
import { type Peer, type PeerName, type Protocol, userName } from '../peers/peer.js';
import { practised } from '../practised.js';
import { type Figure, pick, type Scenario } from '../scenario.js';

const users = 10;
const workers = 10;

/** Files of all users, to check that what was acknowledged is there. */
function countMessages(peer: Peer): number {
  let count = 0;
  for (let user = 0; user < users; user++) {
    for (const sub of ['new', 'cur']) {
      const folder = join(peer.maildir(userName(user)), sub);
      if (existsSync(folder)) count += readdirSync(folder).length;
    }
  }
  return count;
}

function delivery(name: string, protocol: Protocol, peers: readonly PeerName[], bytes: number, about: string): Scenario {
  const body = message(bytes);
  return {
    name: `delivery/${name}`,
    about,
    peers,
    options: () => ({ mode: 'performance', users }),
    async run(peer, size) {
      // Other services of the server practise meanwhile, on the same processors.
      await practised(peer, size);
      const clients = await Promise.all(
        Array.from({ length: workers }, () => SmtpLoad.connect(peer.endpoint(protocol), protocol === 'lmtp')),
      );
      const load = (durationMs: number): Promise<LoadResult> =>
        runLoad({ serverPid: peer.pid, workers, durationMs }, async (worker) =>
          clients[worker]?.deliver(
            'sender@example.test',
            `${userName(worker % users)}@${peer.name === 'roost' && protocol === 'smtp' ? 'localhost' : 'bench.test'}`,
            body,
          ),
        );
      // Measured is the state that lasts, as in logins/*.
      await load(pick(size, 10, 4_000));
      const before = countMessages(peer);
      const result = await load(pick(size, 500, 4_000));
      for (const client of clients) await client.quit();
      // Postfix acknowledges when the message is in its queue; the others when it is in the mailbox.
      if (peer.name !== 'postfix' && countMessages(peer) - before !== result.count)
        throw new Error(`${peer.name} acknowledged ${result.count} messages, ${countMessages(peer) - before} are there`);
      const figures: Figure[] = [...loadFigures('message', result)];
      return figures;
    },
  };
}

export const deliveryScenarios: readonly Scenario[] = [
  delivery('lmtp', 'lmtp', ['roost', 'dovecot'], 10_000, `10 KB messages by LMTP into Maildir, fsync, ${workers} connections`),
  delivery(
    'smtp',
    'smtp',
    ['roost', 'postfix', 'haraka'],
    10_000,
    `10 KB messages by SMTP, fsync before 250, ${workers} connections (Postfix: into its queue)`,
  ),
];
