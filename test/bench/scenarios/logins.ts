// Logins per second: connect, LOGIN, LOGOUT, with the auth cache warm.
import { ImapLoad } from '../load/imap-client.js';
import { loadFigures, runLoad } from '../load/run.js';
import { type Peer, type PoolMode, type Protocol, password, userName } from '../peers/peer.js';
import { pick, type Scenario } from '../scenario.js';

const users = 20;
const workers = 20;

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
      for (let user = 0; user < users; user++) await login(peer, user);
      // Measured is the state that lasts: caches filled, and for us code that has been compiled. A strict pool has nothing that lasts.
      const durationMs = mode === 'security' ? 0 : pick(size, 0, 5_000);
      await runLoad({ serverPid: peer.pid, workers, durationMs }, (worker) => login(peer, worker));
    },
    async run(peer, size) {
      const result = await runLoad({ serverPid: peer.pid, workers, durationMs: pick(size, 500, 4_000) }, (worker) => login(peer, worker));
      return loadFigures('login', result);
    },
  };
}

const commands = (name: string, protocol: Protocol, mode: PoolMode): Scenario => ({
  name: `logins/${name}`,
  about: `NOOPs on ${workers} logged-in connections, ${protocol}: what the hand-off leaves behind`,
  peers: ['roost', 'dovecot'],
  options: () => ({ mode, users }),
  async run(peer, size) {
    const clients = await Promise.all(
      Array.from({ length: workers }, (_, worker) => ImapLoad.login(peer.endpoint(protocol), userName(worker), password)),
    );
    try {
      const result = await runLoad(
        { serverPid: peer.pid, workers, durationMs: pick(size, 500, 3_000) },
        async (worker) => void (await clients[worker]?.command('NOOP')),
      );
      return loadFigures('NOOP', result);
    } finally {
      for (const client of clients) await client.logout();
    }
  },
});

export const loginScenarios: readonly Scenario[] = [
  logins('plain', 'performance', 'imap', `${workers} clients log in and out, plain, login pools, high-performance mode`),
  logins('tls', 'performance', 'imaps', `${workers} clients log in and out, TLS, login pools, high-performance mode`),
  logins('strict', 'security', 'imap', `${workers} clients log in and out, plain, one process for each connection`),
  logins('direct', 'direct', 'imap', `${workers} clients log in and out, plain, Roost in direct mode`),
  logins('direct-tls', 'direct', 'imaps', `${workers} clients log in and out, TLS, Roost in direct mode`),
  commands('commands', 'imap', 'performance'),
  commands('commands-tls', 'imaps', 'performance'),
];
