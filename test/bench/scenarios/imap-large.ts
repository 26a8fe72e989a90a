// Large messages, beside a program that only copies their files to a socket: the same client reads both.
import { join } from 'node:path';
import { ImapLoad } from '../load/imap-client.js';
import { type LoadResult, runLoad } from '../load/run.js';
import { writeMaildir } from '../maildir.js';
import { startBareCopy } from '../peers/bare-copy.js';
import { password, userName } from '../peers/peer.js';
import { type Figure, pick, type Scenario, type Size } from '../scenario.js';

const messageBytes = 1_048_576;
const megabyte = 2 ** 20;

interface Rate {
  readonly megabytesPerSecond: number;
  readonly serverCpuMs: number;
  readonly clientCpuMs: number;
}

/** Fetches one message after the other, first without counting: measured is the state that lasts. CPU is for each megabyte. */
async function measure(client: ImapLoad, serverPid: number, count: number, size: Size): Promise<Rate> {
  let octets = 0;
  const load = (durationMs: number): Promise<LoadResult> =>
    runLoad({ serverPid, workers: 1, durationMs }, async (_worker, turn) => {
      octets += await client.count(`FETCH ${(turn % count) + 1} BODY.PEEK[]`);
    });
  await load(pick(size, 10, 5_000));
  octets = 0;
  const result = await load(pick(size, 100, 3_000));
  const megabytes = octets / megabyte;
  return {
    megabytesPerSecond: megabytes / result.seconds,
    serverCpuMs: result.serverCpuMs / megabytes,
    clientCpuMs: result.clientCpuMs / megabytes,
  };
}

export const imapLargeScenarios: readonly Scenario[] = [
  {
    name: 'imap/fetch-large',
    about: 'FETCH BODY[] of 1 MB messages, one connection, and a bare program that copies the same files to a socket',
    peers: ['roost', 'dovecot'],
    options: () => ({ mode: 'performance', users: 1 }),
    prepare: async (peer, size) => writeMaildir(peer, 0, pick(size, 2, 20), messageBytes),
    async run(peer, size): Promise<readonly Figure[]> {
      const count = pick(size, 2, 20);
      const client = await ImapLoad.login(peer.endpoint('imap'), userName(0), password);
      await client.command('SELECT INBOX');
      const fetched = await measure(client, peer.pid, count, size);
      await client.logout();
      const program = await startBareCopy(join(peer.maildir(userName(0)), 'cur'));
      try {
        const reader = await ImapLoad.connect(program.endpoint);
        const copied = await measure(reader, program.pid, count, size);
        reader.connection.close();
        return [
          { metric: 'BODY[] 1 MB', unit: 'MB/s', better: 'higher', value: fetched.megabytesPerSecond },
          { metric: 'server CPU per MB', unit: 'ms', better: 'lower', value: fetched.serverCpuMs },
          { metric: 'client CPU per MB', unit: 'ms', better: 'lower', value: fetched.clientCpuMs },
          { metric: 'bare copy of the files', unit: 'MB/s', better: 'higher', value: copied.megabytesPerSecond },
          { metric: 'bare copy, server CPU per MB', unit: 'ms', better: 'lower', value: copied.serverCpuMs },
          {
            metric: 'share of the bare copy',
            unit: '%',
            better: 'higher',
            value: (100 * fetched.megabytesPerSecond) / copied.megabytesPerSecond,
          },
        ];
      } finally {
        await program.stop();
      }
    },
  },
];
