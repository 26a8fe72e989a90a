// How long a client waits for the greeting, at rates that do not depend on how fast the server is.
import { LineConnection } from '../load/line-connection.js';
import { openLoop } from '../load/open-loop.js';
import { latencyFigures } from '../load/run.js';
import { pick, type Scenario } from '../scenario.js';

const banner = (rate: number): Scenario => ({
  name: `banner/${rate}`,
  about: `connect, read the greeting, close: ${rate} connections/s, plain, login pools, high-performance mode`,
  peers: ['roost', 'dovecot'],
  options: () => ({ mode: 'performance', users: 1 }),
  async run(peer, size) {
    const endpoint = peer.endpoint('imap');
    const latencies = await openLoop({ rate, durationMs: pick(size, 300, 5_000) }, async () => {
      const connection = await LineConnection.open(endpoint);
      await connection.line();
      connection.close();
    });
    return latencyFigures('banner', latencies);
  },
});

export const bannerScenarios: readonly Scenario[] = [banner(30), banner(300), banner(1_000)];
