// Appending to an index log whose beginning this process has not applied.
import { closeSync, fstatSync, writevSync } from 'node:fs';
import { openLog } from './index-files.js';
import { logHeaderBytes, readRange, recordAt } from './log-reader.js';
import { recordKind } from './log-record.js';
import { snapshotUidValidity } from './snapshot-head.js';

/**
 * Writes records to the log that has taken the place of the one we know: whoever reads it applies them behind what came before them.
 * @param uidValidity of the mailbox they are about: what was made in its place is left alone
 * @returns false when it is being replaced as well: they have to be written to its successor
 * @throws system errors; Error for a short write
 */
export function appendBehind(folder: string, uidValidity: number, records: readonly Buffer[]): boolean {
  const log = openLog(`${folder}/roost.index.log`);
  // Without a log nobody misses them: whoever makes a new one looks at the folder.
  if (log === undefined) return true;
  try {
    // Looked at after the log was opened: the snapshot of another mailbox is there before its log.
    return snapshotUidValidity(`${folder}/roost.index`) !== uidValidity || writeBehind(log.fd, records);
  } finally {
    closeSync(log.fd);
  }
}

/** @returns whether they count */
function writeBehind(fd: number, records: readonly Buffer[]): boolean {
  const before = fstatSync(fd).size;
  const total = records.reduce((sum, record) => sum + record.length, 0);
  const written = writevSync(fd, [...records]);
  if (written !== total) throw new Error(`short write of ${written} of ${total} octets to the index log`);
  const stat = fstatSync(fd);
  const bytes = readRange(fd, 0, stat.size);
  let isFound = false;
  for (let at = logHeaderBytes; ; ) {
    const found = recordAt(bytes, at);
    // What is torn before our records is for the next reader: it finds them behind it.
    if (found.kind !== 'record') return stat.nlink > 0;
    // Sealed behind them, they are in the snapshot.
    if (found.bytes.readUInt32LE(8) === recordKind.seal) return isFound;
    isFound ||= at >= before && records[0]?.equals(found.bytes) === true;
    if (isFound && stat.nlink > 0) return true;
    at += found.bytes.length;
  }
}
