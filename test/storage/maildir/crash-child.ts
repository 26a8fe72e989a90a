// Works on the mailboxes A and B of a Maildir until it is killed. Each step is told on standard output before it begins and after it was
// acknowledged. Run by crash.test.ts: folder, id, seed, compaction size.
import { randomBytes, randomInt } from 'node:crypto';
import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { silentLogger } from '#log/logger.js';
import { unlimitedQuota } from '#storage/driver.js';
import { StorageError } from '#storage/errors.js';
import type { Mailbox, MailboxView } from '#storage/mailbox.js';
import { createMaildirDriver } from '#storage/maildir/driver.js';
import { flagBit } from '#storage/types.js';

const [, , root = '', id = '', compactLogBytes = '2000'] = process.argv;
const fsync = process.env['ROOST_CRASH_FSYNC'] === 'optimized' ? 'optimized' : 'never';
const never = new AbortController().signal;
const driver = createMaildirDriver({ log: silentLogger, fsync, compactLogBytes: Number(compactLogBytes) });

export interface Step {
  readonly at: 'begin' | 'done';
  readonly op: 'append' | 'deliver' | 'store' | 'expunge' | 'move' | 'copy';
  readonly box: string;
  readonly tokens: readonly string[];
  readonly uids: readonly number[];
  readonly flags?: number;
  readonly keywords?: readonly string[];
  readonly target?: string;
  readonly targetUids?: readonly number[];
  readonly modSeq?: number;
}

// Synchronous, so that a step is told before the next one begins even when the process is killed.
const tell = (step: Step): void => {
  writeSync(1, `${JSON.stringify(step)}\n`);
};

let made = 0;
// In a thousand rounds numbers of processes come again.
const own = `${process.pid}.${randomBytes(6).toString('hex')}`;
const tokenOf = (): string => {
  made += 1;
  return `${id}-${own}-${made}`;
};

async function open(name: string): Promise<Mailbox> {
  const mailDir = join(root, name);
  return driver.open(
    { mailDir, controlDir: mailDir, indexDir: mailDir, accountControlDir: root },
    { name, quota: unlimitedQuota, isReadOnly: false, log: silentLogger },
    never,
  );
}

/** Our own messages in a view: sequence number and token. */
async function ownMessages(view: MailboxView): Promise<{ readonly seq: number; readonly token: string }[]> {
  const seqs = Array.from({ length: view.count }, (_, index) => index + 1).slice(-200);
  const gone = new Set(await view.prepare(seqs, { headers: ['x-token'] }, never));
  const own: { seq: number; token: string }[] = [];
  for (const seq of seqs) {
    if (gone.has(seq)) continue;
    const token = view.headerFieldsAt(seq, ['x-token']).toString('latin1').slice(9).trim();
    if (token.startsWith(`${id}-`)) own.push({ seq, token });
  }
  return own;
}

async function save(box: Mailbox, kind: 'append' | 'deliver'): Promise<void> {
  const tokens = Array.from({ length: randomInt(1, 4) }, tokenOf);
  const flags = kind === 'append' && randomInt(2) === 0 ? flagBit.seen : 0;
  tell({ at: 'begin', op: kind, box: box.name, tokens, uids: [], flags });
  await using transaction = box.beginAppend(kind);
  for (const token of tokens) {
    const content = Buffer.from(`X-Token: ${token}\r\n\r\n${'x'.repeat(randomInt(1, 3000))}\r\n`);
    const writer = await transaction.add(
      { flags: { system: flags, keywords: [] }, internalDateMs: undefined, expectedBytes: content.length },
      never,
    );
    await writer.write(content);
    await writer.end();
  }
  const { uids } = await transaction.commit(never);
  tell({ at: 'done', op: kind, box: box.name, tokens, uids, flags });
}

async function step(box: Mailbox, other: Mailbox, view: MailboxView): Promise<void> {
  const choice = randomInt(10);
  if (choice < 2) return save(box, 'append');
  if (choice < 4) return save(box, 'deliver');
  await view.sync({ allowExpunge: true }, never);
  const own = await ownMessages(view);
  const first = randomInt(Math.max(1, own.length));
  const some = own.slice(first, first + randomInt(1, 5));
  if (some.length === 0) return save(box, 'append');
  const seqs = some.map(({ seq }) => seq);
  const about = { box: box.name, tokens: some.map(({ token }) => token), uids: seqs.map((seq) => view.uidAt(seq)) };
  if (choice < 7) {
    const flags = randomInt(32) & ~flagBit.deleted;
    const keywords = randomInt(3) === 0 ? ['$Forwarded'] : [];
    tell({ at: 'begin', op: 'store', ...about, flags, keywords });
    const change = { mode: 'replace', flags: { system: flags, keywords }, unchangedSince: undefined } as const;
    const { expunged } = await view.store(seqs, change, { silent: false }, never);
    // Of a message that turned out to be gone nothing was promised.
    if (expunged.length > 0) return;
    tell({ at: 'done', op: 'store', ...about, flags, keywords, modSeq: box.highestModSeq });
  } else if (choice === 7) {
    tell({ at: 'begin', op: 'expunge', ...about });
    const change = { mode: 'add', flags: { system: flagBit.deleted, keywords: [] }, unchangedSince: undefined } as const;
    await view.store(seqs, change, { silent: true }, never);
    await view.expunge(about.uids, never);
    tell({ at: 'done', op: 'expunge', ...about, modSeq: box.highestModSeq });
  } else {
    const op = choice === 8 ? 'copy' : 'move';
    tell({ at: 'begin', op, ...about, target: other.name });
    const { targetUids } = await view[op](seqs, other, never);
    tell({ at: 'done', op, ...about, target: other.name, targetUids });
  }
}

const boxes = [await open('A'), await open('B')] as const;
const views = await Promise.all(boxes.map((box) => box.openView({ readOnly: false }, never)));
for (;;) {
  const index = randomInt(2);
  const [box, other, view] = [boxes[index as 0 | 1], boxes[index === 0 ? 1 : 0], views[index]];
  if (view === undefined) break;
  try {
    await step(box, other, view);
  } catch (error) {
    // Somebody else's process may have moved a message first.
    if (!(error instanceof StorageError) || error.code !== 'expunged') throw error;
  }
}
