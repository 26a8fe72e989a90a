// Files left in tmp/ by programs that died while they delivered: removed when they are 36 hours old (the Maildir convention), looked for once a week or as
// mail_temp_scan_interval says
// (the folder's atime tells when it was read last).
import { readdir, stat, unlink, utimes } from 'node:fs/promises';
import { errnoOf } from '#util/coded-error.js';

export const staleTmpMs = 36 * 60 * 60 * 1000;
export const defaultTmpScanMs = 7 * 24 * 60 * 60 * 1000;

/**
 * @param scanEveryMs 0: never
 * @returns how many files were removed; 0 when it is not time to look
 */
export async function cleanTmp(folder: string, scanEveryMs = defaultTmpScanMs, nowMs = Date.now()): Promise<number> {
  if (scanEveryMs === 0) return 0;
  try {
    const before = await stat(folder);
    if (nowMs - before.atimeMs < scanEveryMs) return 0;
    let removed = 0;
    for (const name of await readdir(folder, { encoding: 'buffer' })) {
      const path = Buffer.concat([Buffer.from(`${folder}/`), name]);
      const file = await stat(path);
      if (!file.isFile() || nowMs - Math.max(file.mtimeMs, file.ctimeMs) < staleTmpMs) continue;
      await unlink(path);
      removed += 1;
    }
    await utimes(folder, nowMs / 1000, before.mtimeMs / 1000);
    return removed;
  } catch (error) {
    // Somebody else cleans, or the folder is not ours to change.
    if (['ENOENT', 'EACCES', 'EPERM', 'EROFS'].includes(errnoOf(error) ?? '')) return 0;
    throw error;
  }
}
