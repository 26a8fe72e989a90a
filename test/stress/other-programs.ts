// Programs beside the server that work on the same folders: they deliver into new/ and remove messages, as the Maildir rules allow.
import { chown, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MailboxLedger } from './ledger.js';
import { messageOf } from './messages.js';
import { seededRandom } from './random.js';

const pauseMs = 400;

/** Until the signal. The first mailbox gets most of it. */
export async function playOtherPrograms(
  maildirs: Readonly<Record<string, string>>,
  ledgers: readonly MailboxLedger[],
  seed: number,
  signal: AbortSignal,
): Promise<void> {
  const random = seededRandom(seed * 1_000 + 999);
  for (let made = 1; !signal.aborted; made++) {
    await sleep(random(pauseMs), undefined, { signal }).catch(() => undefined);
    const ledger = ledgers[random(3) === 0 ? ledgers.length - 1 : 0];
    const folder = maildirs[ledger?.name ?? ''];
    if (ledger === undefined || folder === undefined) return;
    if (random(5) > 0) await deliver(folder, ledger, `d-${made}`);
    else await remove(folder, ledger, random);
  }
}

async function deliver(folder: string, ledger: MailboxLedger, token: string): Promise<void> {
  const name = `${Math.floor(Date.now() / 1_000)}.${token}.outside`;
  const { uid, gid } = await stat(folder);
  const temporary = join(folder, 'tmp', name);
  await writeFile(temporary, messageOf(token).replaceAll('\r\n', '\n'), { mode: 0o600 });
  if (process.getuid?.() === 0) await chown(temporary, uid, gid);
  // Before anybody can be told of it.
  ledger.delivered.add(token);
  await rename(temporary, join(folder, 'new', name));
}

async function remove(folder: string, ledger: MailboxLedger, random: (below: number) => number): Promise<void> {
  const names = await readdir(join(folder, 'cur'));
  const name = names[random(Math.max(1, names.length))];
  if (name === undefined) return;
  const path = join(folder, 'cur', name);
  try {
    const token = /^Subject: (\S+)\r?\n/m.exec(await readFile(path, 'latin1'))?.[1];
    if (token === undefined) return;
    ledger.noteRemoval(token);
    await unlink(path);
  } catch (error) {
    // Its flags changed meanwhile, or somebody expunged it.
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
}
