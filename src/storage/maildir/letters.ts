// New keywords get a letter in dovecot-keywords while there are free ones; the others live in the index only.
import { stat } from 'node:fs/promises';
import { writeFileAtomic } from '#util/atomic-file.js';
import { errnoOf } from '#util/coded-error.js';
import type { DotLock } from '#util/dot-lock.js';
import { noStamp } from '../index/index-state.js';
import { lettersRecord, stampsRecord } from '../index/log-record.js';
import { foldKeyword } from '../keyword-table.js';
import type { MaildirBox } from './box.js';
import { commit } from './commit.js';
import { isSameStamp, stampOf, storageErrorOf } from './file-calls.js';
import { assignLetters, formatKeywordsFile, letterCount } from './keywords-file.js';
import { reconcile } from './reconcile.js';

/** The caller holds the mutex, and the dot lock if given. @throws StorageError `in-use` */
export async function ensureLetters(box: MaildirBox, keywords: readonly string[], signal: AbortSignal, lock?: DotLock): Promise<void> {
  if (keywords.length === 0 || !needsLetter(box, keywords)) return;
  const own = lock === undefined ? await box.list.lock(signal) : undefined;
  try {
    await box.catchUp();
    if (!isSameStamp(stampOf(box.keywordsFile) ?? noStamp, box.state.stamps.keywordsFile)) {
      await reconcile(box, { inNew: false, inCur: false, list: false, keywords: true }, own ?? lock, signal);
    }
    if (!needsLetter(box, keywords)) return;
    const letters = assignLetters(box.state.letters, keywords);
    await writeLetters(box, letters);
    const stamp = stampOf(box.keywordsFile) ?? noStamp;
    await commit(box, [lettersRecord(letters), stampsRecord({ ...box.state.stamps, keywordsFile: stamp })]);
  } finally {
    own?.release();
  }
}

function needsLetter(box: MaildirBox, keywords: readonly string[]): boolean {
  const { letters } = box.state;
  const used = letters.filter((keyword) => keyword !== '');
  if (used.length >= letterCount) return false;
  const known = new Set(used.map(foldKeyword));
  return keywords.some((keyword) => !known.has(foldKeyword(keyword)));
}

async function writeLetters(box: MaildirBox, letters: readonly string[]): Promise<void> {
  let newerThanSeconds: number | undefined;
  try {
    newerThanSeconds = Math.floor((await stat(box.keywordsFile.path)).mtimeMs / 1000);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw storageErrorOf(error, `stat ${box.keywordsFile.path}`);
  }
  try {
    await writeFileAtomic(box.keywordsFile.path, formatKeywordsFile(letters), {
      sync: box.options.fsync !== 'never',
      permissions: box.permissions,
      temporaryPath: `${box.keywordsFile.path}.tmp`,
      ...(newerThanSeconds === undefined ? {} : { newerThanSeconds }),
    });
  } catch (error) {
    throw storageErrorOf(error, `write ${box.keywordsFile.path}`);
  }
}
