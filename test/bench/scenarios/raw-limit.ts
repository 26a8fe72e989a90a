// How near APPEND comes to what the file system allows: a program that only does open, write, fsync, rename, with the same concurrency.
import { close, fsync, mkdirSync, open, rename, rmSync, write } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ImapLoad } from '../load/imap-client.js';
import { runLoad } from '../load/run.js';
import { message } from '../mail.js';
import { password, userName } from '../peers/peer.js';
import { type Figure, pick, type Scenario } from '../scenario.js';

const calls = {
  open: promisify(open),
  write: promisify(write),
  fsync: promisify(fsync),
  rename: promisify(rename),
  close: promisify(close),
};

async function bareSave(folder: string, name: string, content: Buffer): Promise<void> {
  const from = join(folder, `tmp-${name}`);
  const fd = await calls.open(from, 'wx');
  await calls.write(fd, content);
  await calls.fsync(fd);
  await calls.close(fd);
  await calls.rename(from, join(folder, name));
}

export const rawLimitScenarios: readonly Scenario[] = [1, 10].map((workers) => ({
  name: `store/raw-limit-${workers}`,
  about: `APPEND of 10 KB with fsync, ${workers} session(s), as a share of bare open, write, fsync, rename at the same concurrency`,
  peers: ['roost', 'dovecot'],
  isVariant: workers !== 10,
  options: () => ({ mode: 'performance', users: workers }),
  async run(peer, size): Promise<readonly Figure[]> {
    const content = message(10_000);
    const durationMs = pick(size, 200, 2_000);
    const folder = join(peer.maildir(userName(0)), '..', 'bare');
    mkdirSync(folder, { recursive: true });
    const load = { serverPid: peer.pid, workers, durationMs };
    const bare = await runLoad(load, (worker, turn) => bareSave(folder, `${worker}-${turn}`, content));
    const clients = await Promise.all(
      Array.from({ length: workers }, (_, worker) => ImapLoad.login(peer.endpoint('imap'), userName(worker), password)),
    );
    const append = async (worker: number): Promise<void> => void (await clients[worker]?.withLiteral('APPEND INBOX', content));
    // What is compared is the state that lasts, of both servers: here, with the code compiled.
    await runLoad({ ...load, durationMs: pick(size, 100, 6_000) }, append);
    const appended = await runLoad(load, append);
    for (const client of clients) await client.logout();
    // Not before: ext4 looks at each file that was removed in the last minute when it makes another one nearby.
    rmSync(folder, { recursive: true });
    const rate = appended.count / appended.seconds;
    return [
      { metric: 'appends/s', unit: '1/s', better: 'higher', value: rate },
      { metric: 'share of the bare rate', unit: '%', better: 'higher', value: (100 * rate) / (bare.count / bare.seconds) },
    ];
  },
}));
