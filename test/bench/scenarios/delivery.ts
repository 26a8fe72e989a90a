// Messages taken per second. The reply to the data promises durability: message and directory entry are fsynced before it.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { deliveryPlans } from '../load/plan.js';
import { withPlay } from '../load/play.js';
import { loadFigures } from '../load/run.js';
import { message } from '../mail.js';
import { type Peer, type PeerName, userName } from '../peers/peer.js';
import { practised } from '../practised.js';
import { pick, type Scenario } from '../scenario.js';

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

function delivery(protocol: 'smtp' | 'lmtp', peers: readonly PeerName[], bytes: number, about: string): Scenario {
  const body = message(bytes);
  return {
    name: `delivery/${protocol}`,
    about,
    peers,
    options: () => ({ mode: 'performance', users }),
    async run(peer, size) {
      // Other services of the server practise meanwhile, on the same processors.
      await practised(peer, size);
      const domain = peer.name === 'roost' && protocol === 'smtp' ? 'localhost' : 'bench.test';
      const plans = deliveryPlans(workers, (worker) => `${userName(worker % users)}@${domain}`, { protocol, message: body });
      return withPlay({ peer, protocol, plans }, async (play) => {
        // Measured is the state that lasts, as in logins/*.
        await play(pick(size, 10, 4_000));
        const before = countMessages(peer);
        const { commands } = await play(pick(size, 500, 4_000));
        // Postfix acknowledges when the message is in its queue; the others when it is in the mailbox.
        if (peer.name !== 'postfix' && countMessages(peer) - before !== commands.count)
          throw new Error(`${peer.name} acknowledged ${commands.count} messages, ${countMessages(peer) - before} are there`);
        return loadFigures('message', commands);
      });
    },
  };
}

export const deliveryScenarios: readonly Scenario[] = [
  delivery('lmtp', ['roost', 'dovecot'], 10_000, `10 KB messages by LMTP into Maildir, fsync, ${workers} connections`),
  delivery(
    'smtp',
    ['roost', 'postfix', 'haraka'],
    10_000,
    `10 KB messages by SMTP, fsync before 250, ${workers} connections (Postfix: into its queue)`,
  ),
];
