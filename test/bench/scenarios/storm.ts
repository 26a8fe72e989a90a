// All clients come back at once, after a restart.
import { ImapLoad } from '../load/imap-client.js';
import { password, userName } from '../peers/peer.js';
import { pick, type Scenario } from '../scenario.js';
import { percentile } from '../stats.js';

const users = 50;

export const stormScenarios: readonly Scenario[] = [
  {
    name: 'storm/tls-2000',
    about: '2,000 TLS clients connect and log in at once after a restart, and stay: time until all are in',
    peers: ['roost', 'dovecot'],
    options: () => ({ mode: 'performance', users }),
    async run(peer, size) {
      await peer.restart?.();
      const clients: ImapLoad[] = [];
      const latencies: number[] = [];
      let refused = 0;
      const startedAt = performance.now();
      await Promise.all(
        Array.from({ length: pick(size, 50, 2_000) }, async (_, index) => {
          try {
            clients.push(await ImapLoad.login(peer.endpoint('imaps'), userName(index % users), password));
            latencies.push(performance.now() - startedAt);
          } catch {
            refused += 1;
          }
        }),
      );
      const seconds = (performance.now() - startedAt) / 1_000;
      for (const client of clients) client.connection.close();
      return [
        { metric: 'all logged in after', unit: 's', better: 'lower', value: seconds },
        { metric: 'login p50', unit: 'ms', better: 'lower', value: percentile(latencies, 50) },
        { metric: 'refused', unit: 'clients', better: 'lower', value: refused },
      ];
    },
  },
];
