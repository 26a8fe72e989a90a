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

/** Who sends the messages, and what it took so far. */
class Sender {
  readonly client: ImapLoad;
  readonly #serverPid: number;
  readonly #count: number;
  #turn = 0;
  #octets = 0;
  #seconds = 0;
  #serverCpuMs = 0;
  #clientCpuMs = 0;

  constructor(client: ImapLoad, serverPid: number, count: number) {
    this.client = client;
    this.#serverPid = serverPid;
    this.#count = count;
  }

  async read(durationMs: number): Promise<void> {
    const result: LoadResult = await runLoad({ serverPid: this.#serverPid, workers: 1, durationMs }, async () => {
      this.#octets += await this.client.count(`FETCH ${(this.#turn++ % this.#count) + 1} BODY.PEEK[]`);
    });
    this.#seconds += result.seconds;
    this.#serverCpuMs += result.serverCpuMs;
    this.#clientCpuMs += result.clientCpuMs;
  }

  /** What was read so far was for warming up. */
  forget(): void {
    this.#octets = this.#seconds = this.#serverCpuMs = this.#clientCpuMs = 0;
  }

  /** CPU is for each megabyte, ms. */
  get rates(): { readonly perSecond: number; readonly serverCpuMs: number; readonly clientCpuMs: number } {
    const megabytes = this.#octets / megabyte;
    return {
      perSecond: megabytes / this.#seconds,
      serverCpuMs: this.#serverCpuMs / megabytes,
      clientCpuMs: this.#clientCpuMs / megabytes,
    };
  }
}

/** By turns, so that a machine that is busy for a while is so for both. */
async function compare(senders: readonly Sender[], size: Size): Promise<void> {
  // Measured is the state that lasts, as in logins/*.
  for (const sender of senders) await sender.read(pick(size, 10, 5_000));
  for (const sender of senders) sender.forget();
  for (let round = 0; round < pick(size, 1, 6); round++) for (const sender of senders) await sender.read(pick(size, 100, 700));
}

export const imapLargeScenarios: readonly Scenario[] = [
  {
    name: 'imap/fetch-large',
    about: 'FETCH BODY[] of 1 MB messages, one connection, and a bare program that copies the same files to a socket',
    peers: ['roost', 'dovecot'],
    options: () => ({ mode: 'performance', users: 1 }),
    prepare: async (peer, size) => writeMaildir(peer, 0, { count: pick(size, 2, 20), bytes: messageBytes }),
    async run(peer, size): Promise<readonly Figure[]> {
      const count = pick(size, 2, 20);
      const client = await ImapLoad.login(peer.endpoint('imap'), userName(0), password);
      await client.command('SELECT INBOX');
      const program = await startBareCopy(join(peer.maildir(userName(0)), 'cur'));
      try {
        const server = new Sender(client, peer.pid, count);
        const bare = new Sender(await ImapLoad.connect(program.endpoint), program.pid, count);
        await compare([server, bare], size);
        await client.logout();
        bare.client.connection.close();
        const [fetched, copied] = [server.rates, bare.rates];
        return [
          { metric: 'BODY[] 1 MB', unit: 'MB/s', better: 'higher', value: fetched.perSecond },
          { metric: 'server CPU per MB', unit: 'ms', better: 'lower', value: fetched.serverCpuMs },
          { metric: 'client CPU per MB', unit: 'ms', better: 'lower', value: fetched.clientCpuMs },
          { metric: 'bare copy of the files', unit: 'MB/s', better: 'higher', value: copied.perSecond },
          { metric: 'bare copy, server CPU per MB', unit: 'ms', better: 'lower', value: copied.serverCpuMs },
          {
            metric: 'share of the bare copy',
            unit: '%',
            better: 'higher',
            value: (100 * fetched.perSecond) / copied.perSecond,
          },
        ];
      } finally {
        await program.stop();
      }
    },
  },
];
