// How long a client waits for the greeting, at rates that do not depend on how fast the server is.
import { LineConnection } from '../load/line-connection.js';
import { openLoop } from '../load/open-loop.js';
import { latencyFigures } from '../load/run.js';
import type { Peer } from '../peers/peer.js';
import { pick, type Scenario } from '../scenario.js';

function greetings(peer: Peer, rate: number, durationMs: number): Promise<readonly number[]> {
  const endpoint = peer.endpoint('imap');
  return openLoop({ rate, durationMs }, async () => {
    const connection = await LineConnection.open(endpoint);
    await connection.line();
    connection.close();
  });
}

const banner = (rate: number): Scenario => ({
  name: `banner/${rate}`,
  about: `connect, read the greeting, close: ${rate} connections/s, plain, login pools, high-performance mode`,
  peers: ['roost', 'dovecot'],
  options: () => ({ mode: 'performance', users: 1 }),
  // Listeners are there before the processes are; how long those take is for `storm` to show.
  async prepare(peer, size) {
    await greetings(peer, 300, pick(size, 100, 2_000));
  },
  run: async (peer, size) => latencyFigures('banner', await greetings(peer, rate, pick(size, 300, 5_000))),
});

export const bannerScenarios: readonly Scenario[] = [banner(30), banner(300), banner(1_000)];
