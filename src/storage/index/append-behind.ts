// Appending to an index log whose beginning this process has not applied.
import { closeSync, fstatSync, writevSync } from 'node:fs';
import { logHeaderBytes, readRange, recordAt } from './log-reader.js';
import { recordKind } from './log-record.js';

/**
 * Writes records to an open log and looks whether they count.
 * @param fd opened for reading and appending; closed here
 * @returns false when the log is sealed before them or has been replaced meanwhile: they have to be written to its successor
 * @throws system errors; Error for a short write
 */
export function appendBehind(fd: number, records: readonly Buffer[]): boolean {
  try {
    const before = fstatSync(fd).size;
    const total = records.reduce((sum, record) => sum + record.length, 0);
    const written = writevSync(fd, [...records]);
    if (written !== total) throw new Error(`short write of ${written} of ${total} octets to the index log`);
    const stat = fstatSync(fd);
    const bytes = readRange(fd, 0, stat.size);
    for (let at = logHeaderBytes; ; ) {
      const found = recordAt(bytes, at);
      // What is torn before our records is for the next reader: it finds them behind it.
      if (found.kind !== 'record') return stat.nlink > 0;
      if (found.bytes.readUInt32LE(8) === recordKind.seal) return false;
      if (at >= before && records[0]?.equals(found.bytes) === true) return stat.nlink > 0;
      at += found.bytes.length;
    }
  } finally {
    closeSync(fd);
  }
}
