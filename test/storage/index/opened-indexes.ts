// Several processes' MailboxIndex of one folder, as tests of peers need them.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '#log/logger.js';
import { addRecord, resetRecord } from '#storage/index/log-record.js';
import { MailboxIndex } from '#storage/index/mailbox-index.js';
import { onWrite } from '../../support/file-hooks.js';

export interface IndexFolder {
  readonly folder: string;
  /** As one more process. */
  open(): Promise<MailboxIndex>;
}

/** A record that adds the message `name-UID`. */
export function message(uid: number): Buffer {
  const common = { flags: 0, keywords: [], suffix: ':2,', isInNew: false, extension: '', internalDate: 1, saveDate: 1 };
  return addRecord([{ ...common, uid, baseName: `name-${uid}` }]);
}

/** Works with an index of UIDVALIDITY 7 that has message 1. What was opened is closed afterwards. */
export async function withIndexFolder(work: (world: IndexFolder) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'roost-index-'));
  const opened: MailboxIndex[] = [];
  const open = async (): Promise<MailboxIndex> => {
    const index = await MailboxIndex.open({ folder, maxKeywordLength: 50, maxHistoryRanges: 100, log: silentLogger });
    opened.push(index);
    return index;
  };
  try {
    const first = await open();
    await first.commit([resetRecord(7, '0'.repeat(32)), message(1)]);
    await first.publish();
    await work({ folder, open });
  } finally {
    onWrite(undefined);
    for (const index of opened) index.close();
    await rm(folder, { recursive: true, force: true });
  }
}
