// Whose snapshot a file is, without reading it.
import { closeSync, openSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { readRange } from './log-reader.js';
import { snapshotHeaderBytes, snapshotMagic, uidValidityAt } from './snapshot.js';

/** UIDVALIDITY in the header of a snapshot (docs/index-format.md); undefined when there is none. @throws system errors */
export function snapshotUidValidity(path: string): number | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const header = readRange(fd, 0, snapshotHeaderBytes);
    const isHeader = header.length === snapshotHeaderBytes && header.toString('latin1', 0, snapshotMagic.length) === snapshotMagic;
    return isHeader ? header.readUInt32LE(uidValidityAt) : undefined;
  } finally {
    closeSync(fd);
  }
}
