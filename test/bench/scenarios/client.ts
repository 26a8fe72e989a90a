// The load client against a server that answers constants. Where this is not well above a figure, the figure is the client's.
import { deliveryPlans, heldPlans, loginPlans, request } from '../load/plan.js';
import { withPlay } from '../load/play.js';
import { clientFigures, type LoadResult } from '../load/run.js';
import { message } from '../mail.js';
import { type Peer, type Protocol, userName } from '../peers/peer.js';
import { pick, type Scenario, type Size } from '../scenario.js';

const workers = 20;
const users = 20;

async function logins(peer: Peer, protocol: Protocol, size: Size): Promise<LoadResult> {
  const plans = loginPlans(workers, userName);
  return (await withPlay({ peer, protocol, plans }, (play) => play(pick(size, 300, 3_000)))).sessions;
}

function client(name: string, what: string, run: (peer: Peer, size: Size) => Promise<LoadResult>): Scenario {
  return {
    name: `client/${name}`,
    about: `the load client itself: ${what} against Roost, and against a stub that answers constants (peer)`,
    peers: ['roost', 'stub'],
    options: () => ({ mode: 'performance', users }),
    run: async (peer, size) => clientFigures(what, await run(peer, size)),
  };
}

export const clientScenarios: readonly Scenario[] = [
  client('logins', 'login', (peer, size) => logins(peer, 'imap', size)),
  client('logins-tls', 'login', (peer, size) => logins(peer, 'imaps', size)),
  client('commands', 'NOOP', async (peer, size) => {
    const plans = heldPlans(workers, userName, [request('NOOP')]);
    return (await withPlay({ peer, protocol: 'imap', plans }, (play) => play(pick(size, 300, 3_000)))).commands;
  }),
  client('lmtp', 'message', async (peer, size) => {
    const plans = deliveryPlans(workers, (worker) => `${userName(worker)}@bench.test`, { protocol: 'lmtp', message: message(10_000) });
    return (await withPlay({ peer, protocol: 'lmtp', plans }, (play) => play(pick(size, 300, 3_000)))).commands;
  }),
];
