// Logins per second: connect, LOGIN, LOGOUT, with the auth cache warm.
import { ImapLoad } from '../load/imap-client.js';
import { heldPlans, loginPlans, request } from '../load/plan.js';
import { withPlay } from '../load/play.js';
import { latencyFigures, loadFigures } from '../load/run.js';
import { type Peer, type PoolMode, type Protocol, password, userName } from '../peers/peer.js';
import { practised } from '../practised.js';
import { pick, type Scenario } from '../scenario.js';

const users = 20;
const workers = 20;
const userOf = (worker: number): string => userName(worker % users);

function logins(name: string, mode: PoolMode, protocol: Protocol, about: string): Scenario {
  const login = async (peer: Peer, user: number): Promise<void> => {
    const client = await ImapLoad.login(peer.endpoint(protocol), userName(user % users), password);
    await client.logout();
  };
  return {
    name: `logins/${name}`,
    about,
    peers: ['roost', 'dovecot'],
    options: () => ({ mode, users }),
    async prepare(peer, size) {
      // Other services of the server practise as well, on the same processors.
      await practised(peer, size);
      for (let user = 0; user < pick(size, 2, users); user++) await login(peer, user);
      // Measured is the state that lasts: caches filled, and for us code that has been compiled. A strict pool has nothing that lasts.
      // V8 compiles for some 3,000 logins of each process; TLS clients make fewer in a second.
      const durationMs = mode === 'security' ? 0 : pick(size, 0, protocol === 'imaps' ? 15_000 : 8_000);
      if (durationMs > 0) await withPlay({ peer, protocol, plans: loginPlans(workers, userOf) }, (play) => play(durationMs));
    },
    async run(peer, size) {
      const plans = loginPlans(pick(size, 4, workers), userOf);
      const { sessions } = await withPlay({ peer, protocol, plans }, (play) => play(pick(size, 500, 4_000)));
      return loadFigures('login', sessions);
    },
  };
}

const commands = (name: string, protocol: Protocol, mode: PoolMode): Scenario => ({
  name: `logins/${name}`,
  about: `NOOPs on ${workers} logged-in connections, ${protocol}: what the hand-off leaves behind`,
  peers: ['roost', 'dovecot'],
  options: () => ({ mode, users }),
  async run(peer, size) {
    const plans = heldPlans(workers, userOf, [request('NOOP')]);
    const { commands } = await withPlay({ peer, protocol, plans }, (play) => play(pick(size, 500, 3_000)));
    return loadFigures('NOOP', commands);
  },
});

/** Strict pools as long as their prestarted processes last: what process_min_avail hides. */
const prestarted: Scenario = {
  name: 'logins/strict-prestarted',
  about: 'one client logs in and out every 500 ms, plain, one process for each connection: the login alone',
  peers: ['roost', 'dovecot'],
  options: () => ({ mode: 'security', users }),
  // Until all prestarted processes are there.
  prepare: (_peer, size) => new Promise((resolve) => setTimeout(resolve, pick(size, 1_000, 6_000))),
  async run(peer, size) {
    const latencies: number[] = [];
    for (let turn = 0; turn < pick(size, 2, 15); turn++) {
      const before = performance.now();
      const client = await ImapLoad.login(peer.endpoint('imap'), userName(turn % users), password);
      latencies.push(performance.now() - before);
      await client.logout();
      await new Promise((resolve) => setTimeout(resolve, pick(size, 100, 500)));
    }
    return latencyFigures('login', latencies);
  },
};

export const loginScenarios: readonly Scenario[] = [
  logins('plain', 'performance', 'imap', `${workers} clients log in and out, plain, login pools, high-performance mode`),
  logins('tls', 'performance', 'imaps', `${workers} clients log in and out, TLS, login pools, high-performance mode`),
  logins('strict', 'security', 'imap', `${workers} clients log in and out, plain, one process for each connection`),
  prestarted,
  logins('direct', 'direct', 'imap', `${workers} clients log in and out, plain, Roost in direct mode`),
  logins('direct-tls', 'direct', 'imaps', `${workers} clients log in and out, TLS, Roost in direct mode`),
  commands('commands', 'imap', 'performance'),
  commands('commands-tls', 'imaps', 'performance'),
];
