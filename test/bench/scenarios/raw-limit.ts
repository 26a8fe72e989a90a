// How near APPEND and delivery come to what the file system allows: a program that only does open, write, fsync, rename, with the same concurrency.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ImapLoad } from '../load/imap-client.js';
import { type LoadResult, runLoad } from '../load/run.js';
import { SmtpLoad } from '../load/smtp-client.js';
import { message } from '../mail.js';
import { type BareSave, startBareSave } from '../peers/bare-save.js';
import { type Peer, password, userName } from '../peers/peer.js';
import { practised } from '../practised.js';
import { type Figure, pick, type Scenario, type Size } from '../scenario.js';

const content = message(10_000);

/** One message of a worker. */
type Save = (worker: number) => Promise<unknown>;

interface Savers {
  readonly save: Save;
  close(): Promise<void>;
}

async function appenders(peer: Peer, workers: number): Promise<Savers> {
  const clients = await Promise.all(
    Array.from({ length: workers }, (_, worker) => ImapLoad.login(peer.endpoint('imap'), userName(worker), password)),
  );
  return {
    save: (worker) => clients[worker]?.withLiteral('APPEND INBOX', content) ?? Promise.reject(new Error('no such worker')),
    async close() {
      for (const client of clients) await client.logout();
    },
  };
}

async function deliverers(peer: Peer, workers: number): Promise<Savers> {
  const clients = await Promise.all(Array.from({ length: workers }, () => SmtpLoad.connect(peer.endpoint('lmtp'), true)));
  return {
    save: (worker) =>
      clients[worker]?.deliver('sender@example.test', `${userName(worker)}@bench.test`, content) ??
      Promise.reject(new Error('no such worker')),
    async close() {
      for (const client of clients) await client.quit();
    },
  };
}

interface Sums {
  readonly count: number;
  readonly seconds: number;
}

/** Messages per second: served, saved by the bare program, and by one that makes names durable. By turns, so that a disk that is busy for a while is so for all. */
async function compare(load: (durationMs: number) => Promise<LoadResult>, bare: BareSave, size: Size): Promise<readonly number[]> {
  const ways: readonly ((durationMs: number) => Promise<Sums>)[] = [
    load,
    (durationMs) => bare.save('bare', durationMs),
    (durationMs) => bare.save('durable', durationMs),
  ];
  const sums = ways.map((): Sums => ({ count: 0, seconds: 0 }));
  // What is compared is the state that lasts: the server's code is compiled.
  await load(pick(size, 100, 6_000));
  for (const how of ['bare', 'durable'] as const) await bare.save(how, pick(size, 20, 300));
  for (let round = 0; round < pick(size, 1, 6); round++) {
    for (const [index, way] of ways.entries()) {
      const { count, seconds } = await way(pick(size, 100, 700));
      const before = sums[index] ?? { count: 0, seconds: 0 };
      sums[index] = { count: before.count + count, seconds: before.seconds + seconds };
    }
  }
  return sums.map(({ count, seconds }) => count / seconds);
}

function rawLimit(name: string, what: string, workers: number, connect: (peer: Peer, workers: number) => Promise<Savers>): Scenario {
  return {
    name: `store/raw-limit-${name}${workers}`,
    about: `${what} of 10 KB with fsync, ${workers} session(s) and users, as a share of bare open, write, fsync, rename at the same concurrency`,
    peers: ['roost', 'dovecot'],
    isVariant: workers !== 10,
    options: () => ({ mode: 'performance', users: workers }),
    async run(peer, size): Promise<readonly Figure[]> {
      await practised(peer, size);
      const folder = join(peer.maildir(userName(0)), '..', 'bare');
      mkdirSync(folder, { recursive: true });
      const bare = startBareSave(folder, workers, content.length);
      const savers = await connect(peer, workers);
      try {
        const load = (durationMs: number): Promise<LoadResult> =>
          runLoad({ serverPid: peer.pid, workers, durationMs }, async (worker) => void (await savers.save(worker)));
        const [served = 0, saved = 0, durable = 0] = await compare(load, bare, size);
        return [
          { metric: `${what} per second`, unit: '1/s', better: 'higher', value: served },
          { metric: 'bare saving per second', unit: '1/s', better: 'higher', value: saved },
          { metric: 'share of the bare rate', unit: '%', better: 'higher', value: (100 * served) / saved },
          { metric: 'bare saving with durable names per second', unit: '1/s', better: 'higher', value: durable },
          { metric: 'share of that', unit: '%', better: 'higher', value: (100 * served) / durable },
        ];
      } finally {
        await savers.close();
        await bare.stop();
        // Not before: ext4 looks at each file that was removed in the last minute when it makes another one nearby.
        rmSync(folder, { recursive: true });
      }
    },
  };
}

export const rawLimitScenarios: readonly Scenario[] = [1, 10].flatMap((workers) => [
  rawLimit('', 'APPEND', workers, appenders),
  rawLimit('lmtp-', 'delivery', workers, deliverers),
]);
