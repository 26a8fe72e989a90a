// How near APPEND and delivery come to what the file system allows: a program that only does open, write, fsync, rename, with the same concurrency.
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { deliveryPlans, heldPlans, requestWithLiteral, type WorkerPlan } from '../load/plan.js';
import { withPlay } from '../load/play.js';
import { clientFigure, type LoadResult, together } from '../load/run.js';
import { message } from '../mail.js';
import { type BareSave, startBareSave } from '../peers/bare-save.js';
import { userName } from '../peers/peer.js';
import { practised } from '../practised.js';
import { type Figure, pick, type Scenario, type Size } from '../scenario.js';

const content = message(10_000);

/** Saves messages for a while, all workers at once. */
type Load = (durationMs: number) => Promise<LoadResult>;

/** How messages are saved. */
interface Way {
  readonly protocol: 'imap' | 'lmtp';
  readonly plans: (workers: number) => readonly WorkerPlan[];
}

const byAppend: Way = {
  protocol: 'imap',
  plans: (workers) => heldPlans(workers, userName, [requestWithLiteral('APPEND INBOX', content)]),
};

const byBdat: Way = {
  protocol: 'lmtp',
  plans: (workers) =>
    deliveryPlans(workers, (worker) => `${userName(worker)}@bench.test`, { protocol: 'lmtp', isChunked: true, message: content }),
};

const byLmtp: Way = {
  protocol: 'lmtp',
  plans: (workers) => deliveryPlans(workers, (worker) => `${userName(worker)}@bench.test`, { protocol: 'lmtp', message: content }),
};

interface Sums {
  readonly count: number;
  readonly seconds: number;
}

/** Messages per second: served, saved by the bare program, by one that makes names durable, and by one that makes names and UIDs durable. By turns, so that a disk that is busy for a while is so for all. */
async function compare(load: Load, bare: BareSave, size: Size): Promise<readonly number[]> {
  const ways: readonly ((durationMs: number) => Promise<Sums>)[] = [
    load,
    (durationMs) => bare.save('bare', durationMs),
    (durationMs) => bare.save('durable', durationMs),
    (durationMs) => bare.save('numbered', durationMs),
  ];
  const sums = ways.map((): Sums => ({ count: 0, seconds: 0 }));
  // What is compared is the state that lasts: the server's code is compiled.
  await load(pick(size, 100, 6_000));
  for (const how of ['bare', 'durable', 'numbered'] as const) await bare.save(how, pick(size, 20, 300));
  for (let round = 0; round < pick(size, 1, 6); round++) {
    for (const [index, way] of ways.entries()) {
      const { count, seconds } = await way(pick(size, 100, 700));
      const before = sums[index] ?? { count: 0, seconds: 0 };
      sums[index] = { count: before.count + count, seconds: before.seconds + seconds };
    }
  }
  return sums.map(({ count, seconds }) => count / seconds);
}

function rawLimit(name: string, what: string, workers: number, { protocol, plans }: Way): Scenario {
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
      try {
        return await withPlay({ peer, protocol, plans: plans(workers) }, async (play) => {
          const loads: LoadResult[] = [];
          const load: Load = async (durationMs) => {
            const { commands } = await play(durationMs);
            loads.push(commands);
            return commands;
          };
          const [served = 0, saved = 0, durable = 0, numbered = 0] = await compare(load, bare, size);
          // The first one was the warm-up.
          const total = together(loads.slice(1));
          return [
            { metric: `${what} per second`, unit: '1/s', better: 'higher', value: served },
            { metric: `server CPU per ${what}`, unit: 'ms', better: 'lower', value: total.serverCpuMs / total.count },
            clientFigure(what, total),
            { metric: 'bare saving per second', unit: '1/s', better: 'higher', value: saved },
            { metric: 'share of the bare rate', unit: '%', better: 'higher', value: (100 * served) / saved },
            { metric: 'bare saving with durable names per second', unit: '1/s', better: 'higher', value: durable },
            { metric: 'share of that with durable names', unit: '%', better: 'higher', value: (100 * served) / durable },
            { metric: 'bare saving with durable names and UIDs per second', unit: '1/s', better: 'higher', value: numbered },
            { metric: 'share of that with durable names and UIDs', unit: '%', better: 'higher', value: (100 * served) / numbered },
          ];
        });
      } finally {
        await bare.stop();
        // Not before: ext4 looks at each file that was removed in the last minute when it makes another one nearby.
        rmSync(folder, { recursive: true });
      }
    },
  };
}

export const rawLimitScenarios: readonly Scenario[] = [1, 10, 20, 40].flatMap((workers) => [
  rawLimit('', 'APPEND', workers, byAppend),
  rawLimit('lmtp-', 'delivery', workers, byLmtp),
  rawLimit('lmtp-bdat-', 'delivery by BDAT', workers, byBdat),
]);
