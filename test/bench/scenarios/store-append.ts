// 1,000 messages of 10 KB into one mailbox, each on the disk before its OK.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ImapLoad } from '../load/imap-client.js';
import { message } from '../mail.js';
import { type Peer, password, userName } from '../peers/peer.js';
import { treeCpuMs } from '../processes.js';
import { type Figure, pick, type Scenario, type Size } from '../scenario.js';

const messageBytes = 10_000;
const mailboxName = 'Appended';

function countMessages(peer: Peer): number {
  const folders = ['new', 'cur'].map((sub) => join(peer.maildir(userName(0)), `.${mailboxName}`, sub));
  return folders.reduce((sum, folder) => sum + (existsSync(folder) ? readdirSync(folder).length : 0), 0);
}

async function appendAll(clients: readonly ImapLoad[], total: number): Promise<void> {
  let next = 0;
  await Promise.all(
    clients.map(async (client) => {
      while (next < total) await client.withLiteral(`APPEND ${mailboxName}`, message(messageBytes, next++));
    }),
  );
}

async function measure(peer: Peer, sessions: number, size: Size): Promise<readonly Figure[]> {
  const total = pick(size, 20, 1_000);
  const clients = await Promise.all(Array.from({ length: sessions }, () => ImapLoad.login(peer.endpoint('imap'), userName(0), password)));
  await clients[0]?.command(`CREATE ${mailboxName}`).catch(() => undefined);
  // Measured is the state that lasts, as in logins/*.
  for (let round = 0; round < pick(size, 1, 4); round++) await appendAll(clients, total);
  const before = countMessages(peer);
  const cpuBefore = treeCpuMs(peer.pid);
  const startedAt = performance.now();
  await appendAll(clients, total);
  const time = performance.now() - startedAt;
  const cpu = treeCpuMs(peer.pid) - cpuBefore;
  if (countMessages(peer) - before !== total) throw new Error(`${peer.name}: ${countMessages(peer) - before} messages instead of ${total}`);
  await clients[0]?.command(`DELETE ${mailboxName}`);
  for (const client of clients) await client.logout();
  return [
    { metric: `APPEND of ${total}`, unit: 'ms', better: 'lower', value: time },
    { metric: `APPEND of ${total}: CPU`, unit: 'ms', better: 'lower', value: cpu },
  ];
}

export const storeAppendScenarios: readonly Scenario[] = [1, 10].map((sessions) => ({
  name: `store/append-${sessions}`,
  about: `APPEND of 1,000 messages of 10 KB into one mailbox with fsync before OK, ${sessions} session(s) of one user`,
  peers: ['roost', 'dovecot'],
  isVariant: sessions === 1,
  options: () => ({ mode: 'performance', users: 1 }),
  run: (peer, size) => measure(peer, sessions, size),
}));
