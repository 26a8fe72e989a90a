// What one session's heavy command does to another session in the same process.
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ImapLoad } from '../load/imap-client.js';
import { latencyFigures } from '../load/run.js';
import { message } from '../mail.js';
import { mailOwner, type Peer, password, userName } from '../peers/peer.js';
import { type Figure, pick, type Scenario, type Size } from '../scenario.js';

const noopEveryMs = 20;

/** A mailbox as another server would have left it. */
function fillMaildir(peer: Peer, count: number): void {
  const owner = mailOwner();
  const folder = peer.maildir(userName(0));
  for (const sub of ['', 'cur', 'new', 'tmp']) {
    mkdirSync(join(folder, sub), { recursive: true, mode: 0o700 });
    chownSync(join(folder, sub), owner.uid, owner.gid);
  }
  for (let index = 0; index < count; index++) {
    const octets = message(2_000, index);
    const path = join(folder, 'cur', `${1_700_000_000 + index}.M${index}P1.bench,S=${octets.length}:2,S`);
    writeFileSync(path, octets, { mode: 0o600 });
    chownSync(path, owner.uid, owner.gid);
  }
}

/** @returns ms from when each NOOP was due; one that is late makes the next one late, which counts too */
async function regularNoops(client: ImapLoad, durationMs: number): Promise<readonly number[]> {
  const latencies: number[] = [];
  const startedAt = performance.now();
  for (let dueMs = 0; dueMs < durationMs; dueMs += noopEveryMs) {
    const waitMs = startedAt + dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    // A timer may be a millisecond early.
    const sentAt = Math.min(startedAt + dueMs, performance.now());
    await client.command('NOOP');
    latencies.push(performance.now() - sentAt);
  }
  return latencies;
}

async function run(peer: Peer, size: Size): Promise<readonly Figure[]> {
  const searching = await ImapLoad.login(peer.endpoint('imap'), userName(0), password);
  const other = await ImapLoad.login(peer.endpoint('imap'), userName(1), password);
  try {
    await searching.command('SELECT INBOX');
    await other.command('SELECT INBOX');
    const searches: number[] = [];
    let isOver = false;
    const search = async (): Promise<void> => {
      while (!isOver) {
        const before = performance.now();
        await searching.command('SEARCH TEXT nobody-wrote-this');
        searches.push(performance.now() - before);
      }
    };
    const noops = regularNoops(other, pick(size, 400, 8_000)).finally(() => (isOver = true));
    const [latencies] = await Promise.all([noops, search()]);
    return [
      ...latencyFigures('NOOP', latencies),
      { metric: 'searches', unit: '1', better: 'higher', value: searches.length },
      { metric: 'search mean', unit: 'ms', better: 'lower', value: searches.reduce((sum, ms) => sum + ms, 0) / searches.length },
    ];
  } finally {
    for (const client of [searching, other]) await client.logout();
  }
}

export const fairnessScenarios: readonly Scenario[] = [
  {
    name: 'fairness/search',
    about: 'NOOP every 20 ms beside a session in the same process that SEARCHes TEXT in 20,000 messages of 2 KB',
    peers: ['roost'],
    options: () => ({ mode: 'performance', users: 2, extra: 'service imap {\n  process_min_avail = 1\n  process_limit = 1\n}' }),
    async prepare(peer, size) {
      fillMaildir(peer, pick(size, 100, 20_000));
    },
    run,
  },
];
